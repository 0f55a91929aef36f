// Limits in, the answer, the table and one trial out.

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
