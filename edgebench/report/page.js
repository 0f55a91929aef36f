"use strict";
// The page of one study: limits in, the best model that fits out. Everything shown comes from the
// JSON in #data; numbers with units were written by the report, so all its forms agree.

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

// ---- limits ------------------------------------------------------------------------------------

function makeLimits() {
  for (const limit of LIMITS) {
    const used = study.rows.flatMap((row) => ["", "_int8"].map((s) => row.metrics[limit.metric + s]))
      .filter((number) => number > 0);
    limit.low = used.length ? Math.min(...used) * 0.8 : 1;
    limit.high = used.length ? Math.max(...used) * 1.05 : 10;
    const box = element("div", "", { class: "limit" });
    const head = element("div", "");
    limit.output = element("output", "", { id: `${limit.id}-limit` });
    head.append(element("label", limit.title, { for: limit.id }), limit.output);
    limit.slider = element("input", "", { id: limit.id, type: "range", min: 0, max: STEPS });
    limit.slider.addEventListener("input", () => {
      const part = Number(limit.slider.value) / STEPS;
      const number = Math.round(limit.low * (limit.high / limit.low) ** part);
      state.limits[limit.id] = part >= 1 ? null : number;
      $("board").value = "";
      refresh();
    });
    box.append(head, limit.slider);
    $("limits").append(box);
  }
}

function setLimit(limit, number) {
  state.limits[limit.id] = number;
  const part = number === null ? 1
    : Math.log(number / limit.low) / Math.log(limit.high / limit.low);
  limit.slider.value = Math.round(STEPS * Math.min(1, Math.max(0, part)));
}

function chooseBoard() {
  const board = study.boards.find(([name]) => name === $("board").value);
  setLimit(LIMITS[0], board ? board[1] : null);
  setLimit(LIMITS[1], board ? board[2] : null);
  refresh();
}

function reset() {
  for (const limit of LIMITS) setLimit(limit, study.budget[limit.budget] ?? null);
  const known = study.boards.some(([name]) => name === study.target);
  $("board").value = known ? study.target : "";
  refresh();
}

// ---- the chart ---------------------------------------------------------------------------------

function axisNames() {
  const numeric = (name) => study.rows.some((row) => typeof value(row, name) === "number");
  const axes = Object.keys(study.axes).filter(numeric);
  const others = Object.keys(study.labels).filter((name) => !study.metrics.includes(name));
  return [...study.metrics, ...axes, ...others.filter(numeric)];
}

const scale = (name) => (name.includes("accuracy") ? 100 : 1);
const unit = (name) => name.includes("accuracy") ? " (%)" : name.includes("_bytes") ? " (bytes)" : "";

/** -1 where more is better, 1 where less is, null where neither is known. */
function direction(name) {
  const goal = goals.find((candidate) => candidate.name === name);
  if (goal) return goal.sign;
  if (name.includes("accuracy")) return -1;
  return name.startsWith("footprint/") ? 1 : null;
}

/** The staircase of what fits for the two axes shown, however many objectives the study has. */
function staircase(fitting, x, y) {
  const signs = [direction(x), direction(y)];
  if (x === y || signs.includes(null)) return [];
  const points = [...fitting].map((row) => [signs[0] * value(row, x), signs[1] * value(row, y)])
    .filter((point) => point.every(Number.isFinite)).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let lowest = Infinity;
  const steps = points.filter(([, up]) => up < lowest && ((lowest = up), true));
  return steps.map(([across, up]) => [signs[0] * across * scale(x), signs[1] * up * scale(y)]);
}

function chart(fitting, top) {
  if (!drawing) return;
  const x = $("x").value, y = $("y").value, by = $("colour").value;
  const known = (row) => typeof value(row, x) === "number" && typeof value(row, y) === "number";
  const at = (row, name) => scale(name) * value(row, name);
  const rows = study.rows.filter(known);
  const groups = [...new Set(study.rows.map((row) => String(row.params[by] ?? "–")))].sort(
    (a, b) => a.localeCompare(b, "en", { numeric: true }));
  const traces = groups.flatMap((group, i) => [true, false].map((fits) => {
    const inside = rows.filter((row) =>
      String(row.params[by] ?? "–") === group && fitting.has(row) === fits);
    return {
      type: "scatter", mode: "markers", name: group, legendgroup: group, showlegend: fits,
      x: inside.map((row) => at(row, x)), y: inside.map((row) => at(row, y)),
      customdata: inside.map((row) => row.trial), text: inside.map(hover),
      hovertemplate: "%{text}<extra></extra>",
      marker: {
        size: fits ? 10 : 7, opacity: fits ? 0.95 : 0.35, color: COLOURS[i % COLOURS.length],
        symbol: MARKS[i % MARKS.length] + (fits ? "" : "-open"),
      },
    };
  }));
  const steps = staircase(fitting, x, y);
  traces.push({
    type: "scatter", mode: "lines", name: "front on these axes", hoverinfo: "skip",
    x: steps.map(([across]) => across), y: steps.map(([, up]) => up),
    line: { color: "#5b6b7a", width: 1.5, dash: "dot", shape: "hv" },
  });
  for (const [row, name, colour] of [[top, "best that fits", "#000"], [state.chosen, "chosen", "#0072b2"]]) {
    if (!row || !known(row)) continue;
    traces.push({
      type: "scatter", mode: "markers", name, hoverinfo: "skip", x: [at(row, x)], y: [at(row, y)],
      marker: { size: 18, color: colour, symbol: "circle-open", line: { width: 2.5 } },
    });
  }
  const lines = LIMITS.filter((limit) => state.limits[limit.id] !== null).flatMap((limit) => {
    const across = x === limit.metric + state.suffix, up = y === limit.metric + state.suffix;
    const style = { type: "line", line: { color: "#a63c06", width: 1.5, dash: "dash" } };
    const edge = state.limits[limit.id];
    if (across) return [{ ...style, x0: edge, x1: edge, yref: "paper", y0: 0, y1: 1 }];
    return up ? [{ ...style, y0: edge, y1: edge, xref: "paper", x0: 0, x1: 1 }] : [];
  });
  const positive = rows.every((row) => value(row, x) > 0);
  const layout = {
    margin: { l: 65, r: 15, t: 15, b: 50 }, hovermode: "closest", shapes: lines,
    legend: { orientation: "h", y: 1.1 }, uirevision: x + y + $("log").checked,
    xaxis: { title: { text: title(x) + unit(x) }, type: $("log").checked && positive ? "log" : "linear",
      exponentformat: "SI", gridcolor: "#e6ebef" },
    yaxis: { title: { text: title(y) + unit(y) }, exponentformat: "SI", gridcolor: "#e6ebef" },
  };
  Plotly.react("chart", traces, layout, { displaylogo: false, responsive: true });
  const missing = study.rows.length - rows.length;
  $("left-out").textContent = missing
    ? `${missing} of ${study.rows.length} trials have no value on these axes (refused, failed or running); the table has them all.`
    : "";
}

function hover(row) {
  const lines = study.metrics.filter((name) => name in row.metrics)
    .map((name) => `${title(name)} ${shown(row, name)}`);
  return [`<b>${row.name}</b>`, ...lines].join("<br>");
}

// ---- the table ---------------------------------------------------------------------------------

function columns() {
  return [
    { key: "trial", title: "trial", get: (row) => row.trial, text: (row) => row.trial },
    ...[...Object.keys(study.axes), ...study.metrics].map((name) => ({
      key: name, title: study.axes[name] || title(name),
      get: (row) => value(row, name), text: (row) => shown(row, name),
    })),
    { key: "front", title: "front", get: (row) => (row.member ? 1 : 0), text: () => "" },
    { key: "fits", title: "fits", get: (row) => row.fitText, text: () => "" },
  ];
}

function makeTable() {
  const head = element("tr", "");
  for (const column of columns()) {
    const numeric = study.rows.some((row) => typeof column.get(row) === "number");
    const th = element("th", column.title, { "data-key": column.key });
    if (numeric && column.key !== "front") th.className = "number";
    th.addEventListener("click", () => {
      const [key, ascending] = state.sort;
      state.sort = [column.key, key === column.key ? !ascending : true];
      sortTable();
    });
    head.append(th);
  }
  document.querySelector("#trials thead").append(head);
  for (const row of study.rows) {
    row.line = element("tr", "", { "data-trial": row.trial });
    columns().forEach((column, i) => {
      const cell = element("td", column.text(row));
      cell.className = head.children[i].className;
      row.line.append(cell);
    });
    row.line.lastChild.className = "verdict";
    row.line.addEventListener("click", () => choose(row));
  }
}

function sortTable() {
  const [key, ascending] = state.sort;
  const column = columns().find((candidate) => candidate.key === key);
  const sign = ascending ? 1 : -1;
  const order = (a, b) => {
    const left = column.get(a) ?? null, right = column.get(b) ?? null;
    if (left === null || right === null) return (left === null) - (right === null);
    const less = typeof left === "number" && typeof right === "number"
      ? left - right : String(left).localeCompare(String(right), "en", { numeric: true });
    return sign * less || a.trial - b.trial;
  };
  const sorted = [...study.rows].sort(order);
  document.querySelector("#trials tbody").replaceChildren(...sorted.map((row) => row.line));
  for (const th of document.querySelectorAll("#trials th")) {
    if (th.dataset.key !== key) th.removeAttribute("aria-sort");
    else th.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  }
}

function write(cell, text) {
  if (cell.textContent !== text) cell.textContent = text;
}

function updateTable(fitting, members, top) {
  for (const row of study.rows) {
    row.member = members.includes(row);
    const over = row.state === "finished" ? excess(row) : null;
    row.fitText = row.state !== "finished" ? row.verdict : over === null ? "yes"
      : `no: ${over.limit.memory} x${over.ratio.toFixed(2)}`;
    const [mark, verdict] = [...row.line.children].slice(-2);
    write(mark, row.member ? "●" : "");
    write(verdict, row.fitText);
    row.line.classList.toggle("fits", fitting.has(row));
    row.line.classList.toggle("best", row === top);
    row.line.classList.toggle("chosen", row === state.chosen);
  }
}

// ---- the answer --------------------------------------------------------------------------------

function figures(row) {
  return [...new Set([goals[0].name, ...study.metrics.filter((name) => name.includes("accuracy")),
    ...LIMITS.map((limit) => limit.metric + (limit.metric + state.suffix in row.metrics ? state.suffix : ""))])]
    .filter((name) => name in row.metrics).map((name) => `${title(name)} ${shown(row, name)}`).join(" · ");
}

function answer(fitting, members, top) {
  const box = $("answer");
  box.classList.toggle("none", top === null);
  box.replaceChildren();
  const count = `${fitting.size} of ${trained.length} trained trials fit.`;
  if (top === null) {
    const [closest] = trained.map((row) => [row, excess(row)]).filter(([, over]) => over)
      .sort(([, a], [, b]) => a.ratio - b.ratio);
    box.append(element("strong", "No trained trial fits"));
    if (closest) {
      const [row, { limit, used, most }] = closest;
      box.append(element("p", `Closest: ${row.name} is over by ${limitText(limit, used - most)} of ${limit.memory}.`));
    }
    return;
  }
  box.append(element("span", "Best that fits"), element("strong", top.name, { id: "best" }),
    element("p", figures(top)));
  const spare = LIMITS.filter((limit) => state.limits[limit.id] !== null && needs(top, limit) >= 0)
    .map((limit) => `${limit.memory} ${(100 * (1 - needs(top, limit) / state.limits[limit.id])).toFixed(0)} %`);
  if (spare.length) box.append(element("p", `To spare: ${spare.join(", ")}.`));
  box.append(element("p", count));
  const ties = smallerTies(top, members)
    .sort((a, b) => needs(a, LIMITS[0]) - needs(b, LIMITS[0]));
  if (ties.length) {
    const less = 100 * (1 - needs(ties[0], LIMITS[0]) / needs(top, LIMITS[0]));
    const link = element("a", ties[0].name);
    link.addEventListener("click", () => choose(ties[0]));
    const line = element("p", "A tie within its 95 % interval, with ");
    line.append(`${less.toFixed(0)} % less flash: `, link);
    box.append(line);
  }
}

// ---- one trial ---------------------------------------------------------------------------------

function choose(row) {
  state.chosen = row;
  refresh();
  $("detail").hidden = false;
  $("detail-name").textContent = row.name;
  $("detail-verdict").textContent = row.state === "finished" ? `finished, run ${row.run_id}` : row.verdict;
  const facts = [...Object.keys(row.params).map((name) => [name, String(shown(row, name))]),
    ...Object.keys(row.metrics).map((name) => [title(name), String(shown(row, name))])];
  $("facts").replaceChildren(tableOf([], facts));
  const layers = row.layers === null ? [] : study.layers[row.layers];
  $("layers").replaceChildren();
  if (layers.length) $("layers").append(layerTable(layers));
  if (drawing) {
    timeline(layers);
    curves(row);
  }
}

function layerTable(layers) {
  const heads = ["layer", "operator", "output", "parameters", "MACC", "live activations"];
  return tableOf(heads.map((text, i) => ({ text, number: i > 2 })),
    layers.map(([name, op, shape, parameters, macc, live]) => [name, op, (shape || []).join(" x "),
      { text: parameters ?? "–", number: true }, { text: macc ?? "–", number: true },
      { text: live === null ? "–" : amount(live, true), number: true }]));
}

function timeline(layers) {
  const live = layers.map((layer) => layer[5]);
  Plotly.purge("timeline");
  $("timeline").hidden = !live.some((bytes) => bytes);
  if ($("timeline").hidden) return;
  const peak = Math.max(...live);
  Plotly.newPlot("timeline", [{
    type: "bar", x: layers.map((layer, i) => `${i + 1} ${layer[0]}`), y: live,
    text: live.map((bytes) => (bytes === peak ? "peak" : "")), textposition: "outside",
    hovertemplate: "%{x}: %{y} bytes<extra></extra>",
    marker: { color: live.map((bytes) => (bytes === peak ? "#d55e00" : "#56b4e9")) },
  }], {
    margin: { l: 60, r: 10, t: 35, b: 80 }, title: { text: "RAM over the operators", font: { size: 14 } },
    yaxis: { title: { text: "live bytes" }, exponentformat: "SI", range: [0, peak * 1.15] },
    xaxis: { type: "category", tickangle: 40, automargin: true },
  }, { displayModeBar: false, responsive: true });
}

function curves(row) {
  Plotly.purge("curves");
  const names = Object.keys(row.curves).filter((name) => name.includes("accuracy"));
  $("curves").hidden = !names.length;
  if (!names.length) return;
  Plotly.newPlot("curves", names.map((name, i) => ({
    type: "scatter", mode: "lines+markers", name, y: row.curves[name].map((share) => 100 * share),
    x: row.curves[name].map((_, epoch) => epoch + 1), marker: { symbol: MARKS[i] },
    line: { color: COLOURS[i], dash: i ? "dash" : "solid" },
  })), {
    margin: { l: 60, r: 10, t: 35, b: 40 }, title: { text: "Learning curve", font: { size: 14 } },
    xaxis: { title: { text: "epoch" }, tick0: 1, dtick: Math.ceil(row.curves[names[0]].length / 15) },
    yaxis: { title: { text: "accuracy (%)" } },
    legend: { x: 1, xanchor: "right", y: 0.05 }, showlegend: true,
  }, { displayModeBar: false, responsive: true });
}

// ---- putting it together -----------------------------------------------------------------------

let pending = false;

/** Redraw once for any number of changes before the next frame. */
function refresh() {
  for (const limit of LIMITS) limit.output.textContent = limitText(limit, state.limits[limit.id]);
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => {
    pending = false;
    const fitting = new Set(trained.filter((row) => excess(row) === null));
    const members = front([...fitting]);
    const top = best(members);
    answer(fitting, members, top);
    updateTable(fitting, members, top);
    chart(fitting, top);
  });
}

async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
}

async function loadLibrary() {
  try {
    const code = element("script", await inflate($("library").textContent));
    document.head.append(code);
    drawing = typeof Plotly === "object";
  } catch (error) {
    $("chart").textContent = `This browser cannot draw the chart (${error.message}); the rest works.`;
  }
}

async function start() {
  $("study").textContent = study.study;
  $("summary").textContent = study.notes[0];
  $("notes").append(...study.notes.slice(1).map((note) => element("li", note)));
  for (const cell of document.querySelectorAll("#matrix td")) {
    const text = cell.textContent;
    if (text.startsWith("no:")) cell.className = "bad";
    else if (text.endsWith("spare")) cell.className = "good";
  }
  $("matrix").hidden = !study.boards.length;
  $("detail").hidden = true;
  options($("board"), [["", "no board"], ...study.boards.map(([name]) => [name, name])]);
  $("board").addEventListener("change", chooseBoard);
  const int8 = study.rows.some((row) => "footprint/rom_bytes_int8" in row.metrics);
  options($("precision"), [["", "float32"], ["_int8", "int8"]]);
  $("precision-label").hidden = !int8;
  $("precision").addEventListener("change", () => { state.suffix = $("precision").value; refresh(); });
  const names = axisNames().map((name) => [name, title(name)]);
  options($("x"), names, study.metrics.find((name) => name === "footprint/rom_bytes"));
  options($("y"), names, study.metrics[0]);
  options($("colour"), Object.entries(study.axes));
  for (const id of ["x", "y", "colour", "log"]) $(id).addEventListener("change", refresh);
  $("only").addEventListener("change", () => $("trials").classList.toggle("only", $("only").checked));
  $("reset").addEventListener("click", reset);
  makeLimits();
  makeTable();
  sortTable();
  reset();
  await loadLibrary();
  refresh();
  requestAnimationFrame(() => {
    if (!drawing) return;
    $("chart").on("plotly_click", (event) => {
      const row = study.rows.find((candidate) => candidate.trial === event.points[0].customdata);
      if (row) choose(row);
    });
    document.body.dataset.ready = "yes";
  });
}

start();
