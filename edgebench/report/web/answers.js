"use strict";
// The questions that the page answers: what fits, the front of it, the best, how a number is written.
// Everything comes from the JSON in #data; numbers with units were written by the report, so all its
// forms agree. The page joins this file, drawing.js and page.js into one script.

const study = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
// Okabe and Ito's colours, distinguishable with any colour vision; marks differ in shape too.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000"];
const MARKS = ["circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "pentagon"];
const STEPS = 400;
const LIMITS = [
  { id: "flash", title: "ROM (flash)", memory: "ROM", metric: "footprint/rom_bytes", budget: "rom_bytes" },
  { id: "ram", title: "RAM", memory: "RAM", metric: "footprint/ram_bytes", budget: "ram_bytes" },
  { id: "macc", title: "MACC", memory: "MACC", metric: "footprint/macc", budget: "macc" },
];
const state = { limits: {}, suffix: "", chosen: null, sort: ["trial", true] };
let drawing = false; // whether the drawing library is there

// ---- the study's answers -----------------------------------------------------------------------

const value = (row, name) => (name in row.metrics ? row.metrics[name] : row.params[name]);

function needs(row, limit) {
  const exact = row.metrics[limit.metric + state.suffix];
  return exact === undefined ? row.metrics[limit.metric] : exact;
}

/** Why a trained trial does not meet the limits now: the limit it exceeds most, or null. */
function excess(row) {
  let worst = null;
  for (const limit of LIMITS) {
    const most = state.limits[limit.id], used = needs(row, limit);
    if (most === null || used === undefined || used === null || used <= most) continue;
    if (worst === null || used / most > worst.ratio) worst = { limit, used, most, ratio: used / most };
  }
  return worst;
}

const trained = study.rows.filter((row) => row.state === "finished");
const goals = study.objectives.map(([name, goal]) => ({ name, sign: goal === "maximize" ? -1 : 1 }));
const costs = (row) => goals.map((goal) => goal.sign * row.metrics[goal.name]);
const complete = (row) => goals.every((goal) => Number.isFinite(row.metrics[goal.name]));

function dominates(a, b) {
  return a.every((x, i) => x <= b[i]) && a.some((x, i) => x < b[i]);
}

function front(rows) {
  const known = rows.filter(complete).map((row) => [row, costs(row)]);
  return known.filter(([, b]) => !known.some(([, a]) => dominates(a, b))).map(([row]) => row);
}

function best(members) {
  const order = (a, b) => {
    const left = [...costs(a), a.trial], right = [...costs(b), b.trial];
    const i = left.findIndex((x, k) => x !== right[k]);
    return i < 0 ? 0 : left[i] - right[i];
  };
  return [...members].sort(order)[0] || null;
}

/** Front members too close to the best to call that need less flash, by 1 % at least (Wilson, 95 %). */
function smallerTies(top, members) {
  const name = study.metrics.find((metric) => study.images[metric] && metric in top.metrics);
  if (!name) return [];
  const n = study.images[name], p = top.metrics[name], z = 1.959963984540054;
  const centre = (p + z * z / (2 * n)) / (1 + z * z / n);
  const half = z / (1 + z * z / n) * Math.sqrt(p * (1 - p) / n + (z / (2 * n)) ** 2);
  return members.filter((row) => row !== top && row.metrics[name] >= centre - half &&
    needs(row, LIMITS[0]) <= 0.99 * needs(top, LIMITS[0]));
}

// ---- writing -----------------------------------------------------------------------------------

function amount(number, bytes) {
  const base = bytes && study.units === "binary" ? 1024 : 1000;
  const names = !bytes ? ["", "k", "M", "G"]
    : base === 1024 ? ["B", "KiB", "MiB", "GiB"] : ["B", "kB", "MB", "GB"];
  if (number < base) return `${number} ${names[0]}`.trim();
  let power = 1;
  while (power < 3 && number / base ** power >= base - 0.005) power += 1;
  return `${(number / base ** power).toFixed(2)} ${names[power]}`;
}

const limitText = (limit, number) =>
  number === null ? "no limit" : amount(number, limit.id !== "macc");
const shown = (row, name) => row.texts[name] ?? (value(row, name) ?? "–");
const title = (name) => study.labels[name] || study.axes[name] || name;

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [key, content] of Object.entries(attributes)) made.setAttribute(key, content);
  return made;
}

function options(select, pairs, chosen) {
  select.replaceChildren(...pairs.map(([key, text]) => element("option", text, { value: key })));
  if (chosen !== undefined) select.value = chosen;
}

function tableOf(heads, rows) {
  const table = element("table", "");
  const line = (tag, cells) => {
    const tr = element("tr", "");
    tr.append(...cells.map((cell) => element(tag, cell.text ?? cell,
      cell.number ? { class: "number" } : {})));
    return tr;
  };
  if (heads.length) table.append(line("th", heads));
  table.append(...rows.map((row) => line("td", row)));
  return table;
}
