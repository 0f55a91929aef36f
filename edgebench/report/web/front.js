"use strict";
// What fits within the limits, the front of it and its best, and how a number is written.
// Everything comes from the JSON in #data, the figures' names, titles and units too; numbers with
// units were written by the report, so all its forms agree. The page joins this file, drawing.js
// and page.js into one script.

const study = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
// Okabe and Ito's colours, distinguishable with any colour vision; marks differ in shape too.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000"];
const MARKS = ["circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "pentagon"];
const STEPS = 400;
const REFUSED_SHOWN = 500; // refused rows before the table leaves them out until they are asked for
const LIMITS = study.limits; // the sliders
const state = { limits: {}, dtype: study.dtype, chosen: null, sort: ["trial", true] };
let drawing = false; // whether the drawing library is there

// ---- what fits ---------------------------------------------------------------------------------

const value = (row, name) => (name in row.metrics ? row.metrics[name] : row.params[name]);

const figure = (name) => study.figures[name] ?? { title: name, unit: "number", goal: null, images: 0 };
/** What decides whether a limit is met, and the estimate: a memory's upper figure, its figure. */
const needs = (row, limit) => row.metrics[limit.names[state.dtype]];
const least = (row, limit) => row.metrics[limit.least[state.dtype]];

/** The same figure of the model in the data type that is shown. */
function inType(name) {
  const { dtype, twin } = figure(name);
  return twin && dtype !== state.dtype ? twin : name;
}

/** Why a trained trial does not meet the limits, or only may: the limit it exceeds most, or null. */
function excess(row) {
  let worst = null;
  for (const limit of LIMITS) {
    const most = state.limits[limit.id], figure = least(row, limit) ?? needs(row, limit);
    if (most === null || figure === undefined || figure === null) continue;
    const upper = needs(row, limit) ?? null, may = figure <= most;
    if (may && upper !== null && upper <= most) continue;
    const used = may && upper !== null ? upper : figure;
    const found = { limit, used, most, ratio: used / most, may, known: upper !== null };
    const worse = worst === null || (worst.may && !may) || (worst.may === may && found.ratio > worst.ratio);
    if (worse) worst = found;
  }
  return worst;
}

/** The answer in the table: yes, may fit, or no. */
function answer(over) {
  if (over === null) return "yes";
  if (!over.may) return `no: ${over.limit.title} x${over.ratio.toFixed(2)}`;
  return `may fit: ${over.limit.title} ${over.known ? `up to x${over.ratio.toFixed(2)}` : "has no upper figure"}`;
}

const trained = study.rows.filter((row) => row.state === "finished");
const goals = study.objectives.map(([name, goal]) => ({ name, sign: goal === "maximize" ? -1 : 1 }));
const costs = (row) => goals.map((goal) => goal.sign * row.metrics[inType(goal.name)]);
const complete = (row) => costs(row).every(Number.isFinite);

function front(rows) {
  // Sorted by the objectives in turn, no point can dominate an earlier one.
  const known = rows.filter(complete).map((row) => [row, costs(row)]).sort(([, a], [, b]) => {
    const i = a.findIndex((x, k) => x !== b[k]);
    return i < 0 ? 0 : a[i] - b[i];
  });
  const members = [];
  for (const [row, point] of known) {
    const covered = members.some(([, a]) => a.every((x, i) => x <= point[i]) && a.some((x, i) => x < point[i]));
    if (!covered) members.push([row, point]);
  }
  return new Set(members.map(([row]) => row));
}

function best(members) {
  const order = (a, b) => {
    const left = [...costs(a), a.trial], right = [...costs(b), b.trial];
    const i = left.findIndex((x, k) => x !== right[k]);
    return i < 0 ? 0 : left[i] - right[i];
  };
  return [...members].sort(order)[0] || null;
}

/** Front members that tie with the best (Wilson, 95 %) and cost 1 % less at least, by the first slider. */
function smallerTies(top, members) {
  const [cost] = LIMITS;
  const name = study.metrics.map(inType).find((metric) => figure(metric).images && metric in top.metrics);
  if (!name || !cost) return [];
  const n = figure(name).images, p = top.metrics[name], z = 1.959963984540054;
  const centre = (p + z * z / (2 * n)) / (1 + z * z / n);
  const half = z / (1 + z * z / n) * Math.sqrt(p * (1 - p) / n + (z / (2 * n)) ** 2);
  return [...members].filter((row) => row !== top && row.metrics[name] >= centre - half &&
    least(row, cost) <= 0.99 * least(top, cost));
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

/** The slider's name: the figure, the memory that bounds it, the data type where there are two. */
const limitTitle = (limit) => {
  const memory = limit.memory && limit.memory.toUpperCase() !== limit.title ? ` (${limit.memory})` : "";
  const both = new Set(Object.values(limit.names).filter((name) => name in study.figures)).size > 1;
  return `${limit.title}${memory}${both ? `, ${state.dtype}` : ""}`;
};
const limitText = (limit, number) => {
  if (number === null) return "no limit";
  return limit.unit === "milliseconds" ? `${Number(number.toPrecision(4))} ms` : amount(number, limit.unit === "bytes");
};
const shown = (row, name) => row.texts[name] ?? (value(row, name) ?? "–");
const title = (name) => (name in study.figures ? figure(name).title : study.axes[name] || name);

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
