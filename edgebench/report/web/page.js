// Limits in; the best that fits, the table and one trial out.

// ---- limits ------------------------------------------------------------------------------------

function makeLimits() {
  for (const limit of LIMITS) {
    const names = [...Object.values(limit.names), ...Object.values(limit.least)];
    const used = study.rows.flatMap((row) => names.map((name) => row.metrics[name]))
      .filter((number) => number > 0);
    limit.low = used.length ? Math.min(...used) * 0.8 : 1;
    limit.high = used.length ? Math.max(...used) * 1.05 : 10;
    const box = element("div", "", { class: "limit" });
    const head = element("div", "");
    limit.output = element("output", "", { id: `${limit.id}-limit` });
    limit.label = element("label", "", { for: limit.id });
    head.append(limit.label, limit.output);
    limit.slider = element("input", "", { id: limit.id, type: "range", min: 0, max: STEPS });
    limit.slider.addEventListener("input", () => {
      const part = Number(limit.slider.value) / STEPS;
      const exact = limit.low * (limit.high / limit.low) ** part;
      const number = limit.unit === "milliseconds" ? exact : Math.round(exact);
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
  const [, flash, ram] = study.boards.find(([name]) => name === $("board").value) ?? [];
  const left = { flash, ram };
  for (const limit of LIMITS) {
    if (limit.memory) setLimit(limit, left[limit.memory] ?? null);
    if (limit.replaced && $("board").value) setLimit(limit, null);
  }
  refresh();
}

/** Show the model in another data type: axes, columns, limits and front follow, numbers stay. */
function chooseType(dtype) {
  if (dtype === state.dtype) return;
  const [x, y] = [$("x").value, $("y").value];
  state.dtype = $("dtype").value = dtype;
  [$("x").value, $("y").value] = [inType(x), inType(y)];
  state.sort[0] = inType(state.sort[0]);
  makeTable();
  sortTable();
}

function reset() {
  chooseType(study.dtype);
  for (const limit of LIMITS) setLimit(limit, limit.budget);
  const known = study.boards.some(([name]) => name === study.target);
  $("board").value = known ? study.target : "";
  refresh();
}

// ---- the table ---------------------------------------------------------------------------------

function columns() {
  return [
    { key: "trial", title: "trial", get: (row) => row.trial, text: (row) => row.trial },
    ...[...Object.keys(study.axes), ...new Set(study.metrics.map(inType))].map((name) => ({
      key: name, title: study.axes[name] || title(name),
      get: (row) => value(row, name), text: (row) => shown(row, name),
    })),
    { key: "front", title: "front", get: (row) => (row.member ? 1 : 0), text: () => "" },
    { key: "fits", title: "fits", get: (row) => row.fitText, text: () => "" },
  ];
}

/** The rows of the table: without the refused ones where they are not asked for. */
const listed = () => ($("refused").checked ? [...study.rows] : study.rows.filter((row) => row.state !== "refused"));

function makeTable() {
  const head = element("tr", "");
  const all = columns();
  for (const column of all) {
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
  document.querySelector("#trials thead").replaceChildren(head);
  for (const row of study.rows) {
    row.line = null;
    row.fitText = row.verdict;
  }
}

/** The line of a trial in the table, made when it is first shown. */
function lineOf(row, all, classes) {
  if (row.line) return row.line;
  row.line = element("tr", "", { "data-trial": row.trial });
  all.forEach((column, i) => row.line.append(element("td", column.text(row), { class: classes[i] })));
  row.line.lastChild.textContent = row.fitText;
  row.line.lastChild.className = "verdict";
  row.line.addEventListener("click", () => choose(row));
  return row.line;
}

function sortTable() {
  const [key, ascending] = state.sort;
  const all = columns();
  const column = all.find((candidate) => candidate.key === key);
  const classes = [...document.querySelectorAll("#trials th")].map((th) => th.className);
  const sign = ascending ? 1 : -1;
  const order = (a, b) => {
    const left = column.get(a) ?? null, right = column.get(b) ?? null;
    if (left === null || right === null) return (left === null) - (right === null);
    const less = typeof left === "number" && typeof right === "number"
      ? left - right : String(left).localeCompare(String(right), "en", { numeric: true });
    return sign * less || a.trial - b.trial;
  };
  const lines = listed().sort(order).map((row) => lineOf(row, all, classes));
  document.querySelector("#trials tbody").replaceChildren(...lines);
  for (const th of document.querySelectorAll("#trials th")) {
    if (th.dataset.key !== key) th.removeAttribute("aria-sort");
    else th.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  }
}

function write(cell, text) {
  if (cell.textContent !== text) cell.textContent = text;
}

function updateTable(fitting, members, top) {
  for (const row of trained) { // what was never trained stays as it was written
    row.member = members.has(row);
    const { over } = row;
    row.fitText = answer(over);
    const [mark, verdict] = [...row.line.children].slice(-2);
    write(mark, row.member ? "●" : "");
    write(verdict, row.fitText);
    row.line.classList.toggle("fits", fitting.has(row));
    row.line.classList.toggle("may", over !== null && over.may);
    row.line.classList.toggle("best", row === top);
  }
  document.querySelector("#trials tr.chosen")?.classList.remove("chosen");
  state.chosen?.line?.classList.add("chosen");
}

// ---- the best that fits ------------------------------------------------------------------------

function summary(row) {
  const accuracies = study.metrics.map(inType).filter((name) => figure(name).images);
  const names = [inType(goals[0].name), ...accuracies, ...LIMITS.map((limit) => limit.least[state.dtype])];
  return [...new Set(names)].filter((name) => name in row.metrics)
    .map((name) => `${title(name)} ${shown(row, name)}`).join(" · ");
}

function showBest(fitting, members, top) {
  const box = $("best-that-fits");
  box.classList.toggle("none", top === null);
  box.replaceChildren();
  const may = trained.filter((row) => row.over?.may).length;
  const count = `${fitting.size} of ${trained.length} trained trials fit${may ? `, ${may} may fit` : ""}.`;
  if (top === null) {
    const [closest] = trained.map((row) => [row, row.over]).filter(([, over]) => over)
      .sort(([, a], [, b]) => b.may - a.may || a.ratio - b.ratio);
    box.append(element("strong", may ? "No trained trial is sure to fit" : "No trained trial fits"));
    if (closest) {
      const [row, { limit, used, most, known, may: open }] = closest;
      const over = `over by ${limitText(limit, used - most)} of ${limit.title}`;
      const said = !open ? `is ${over}` : known ? `may be ${over}` : `has no upper figure of ${limit.title}`;
      box.append(element("p", `Closest: ${row.name} ${said}.`));
    }
    return;
  }
  box.append(element("span", "Best that fits"), element("strong", top.name, { id: "best" }),
    element("p", summary(top)));
  const spare = LIMITS.filter((limit) => state.limits[limit.id] !== null && needs(top, limit) >= 0)
    .map((limit) => `${limit.title} ${(100 * (1 - needs(top, limit) / state.limits[limit.id])).toFixed(0)} %`);
  if (spare.length) box.append(element("p", `To spare: ${spare.join(", ")}.`));
  box.append(element("p", count));
  const [cost] = LIMITS;
  const ties = smallerTies(top, members).sort((a, b) => least(a, cost) - least(b, cost));
  if (ties.length) {
    const less = 100 * (1 - least(ties[0], cost) / least(top, cost));
    const link = element("a", ties[0].name);
    link.addEventListener("click", () => choose(ties[0]));
    const line = element("p", "A tie within its 95 % interval, with ");
    line.append(`${less.toFixed(0)} % less ${cost.title}: `, link);
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
    ...Object.keys(row.metrics).filter((name) => !figure(name).per_epoch)
      .map((name) => [title(name), String(shown(row, name))])];
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
  for (const limit of LIMITS) {
    limit.label.textContent = limitTitle(limit);
    limit.output.textContent = limitText(limit, state.limits[limit.id]);
  }
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => {
    pending = false;
    for (const row of trained) row.over = excess(row);
    const fitting = new Set(trained.filter((row) => row.over === null));
    const members = front([...fitting]);
    const top = best(members);
    showBest(fitting, members, top);
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
    else if (text.startsWith("may fit")) cell.className = "may";
    else if (text.endsWith("spare")) cell.className = "good";
  }
  $("matrix").hidden = !study.boards.length;
  $("detail").hidden = true;
  options($("board"), [["", "no board"], ...study.boards.map(([name]) => [name, name])]);
  $("board").addEventListener("change", chooseBoard);
  const types = new Set(Object.values(study.figures).map(({ dtype }) => dtype).filter(Boolean));
  options($("dtype"), [...types].map((dtype) => [dtype, dtype]), study.dtype);
  $("dtype-label").hidden = types.size < 2;
  $("dtype").addEventListener("change", () => { chooseType($("dtype").value); refresh(); });
  const names = axisNames().map((name) => [name, title(name)]);
  options($("x"), names, LIMITS.map((limit) => limit.least[state.dtype]).find((name) => name in study.figures));
  options($("y"), names, study.metrics[0]);
  options($("colour"), Object.entries(study.axes));
  for (const id of ["x", "y", "colour", "log"]) $(id).addEventListener("change", refresh);
  $("only").addEventListener("change", () => $("trials").classList.toggle("only", $("only").checked));
  const refused = study.rows.filter((row) => row.state === "refused").length;
  $("refused").checked = refused <= REFUSED_SHOWN;
  $("refused-label").hidden = refused <= REFUSED_SHOWN;
  $("refused-count").textContent = refused.toLocaleString("en");
  $("refused").addEventListener("change", () => { sortTable(); refresh(); });
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
