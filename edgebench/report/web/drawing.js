// What the drawing library draws: the chart, and one trial's RAM and learning curve.

function axisNames() {
  const numeric = (name) => study.rows.some((row) => typeof value(row, name) === "number");
  const axes = Object.keys(study.axes).filter(numeric);
  const others = Object.keys(study.figures).filter(
    (name) => !study.metrics.includes(name) && !figure(name).per_epoch);
  return [...study.metrics, ...axes, ...others.filter(numeric)];
}

const UNITS = { share: " (%)", seconds: " (s)", milliseconds: " (ms)" };
const scale = (name) => (figure(name).unit === "share" ? 100 : 1);
const unit = (name) => UNITS[figure(name).unit] ?? "";

/** Marks of an axis in the table's units (20 kB, 5 M), or nothing where its numbers have none. */
function marks(name, values, logarithmic) {
  const bytes = figure(name).unit === "bytes";
  if (!bytes && figure(name).unit !== "count" || !values.length) return {};
  const low = Math.min(...values), high = Math.max(...values);
  const base = bytes && study.units === "binary" ? 2 : 10;
  const most = $("chart").clientWidth < 500 ? 5 : 9;
  const at = [];
  if (logarithmic) {
    const steps = base === 2 ? [[1], [1], [1]] : [[1, 2, 5], [1, 3], [1]];
    const first = Math.floor(Math.log(low / 2) / Math.log(base)), last = Math.log(2 * high) / Math.log(base);
    for (const within of steps) {
      at.length = 0;
      for (let power = first; power <= last; power += 1) at.push(...within.map((x) => x * base ** power));
      if (at.filter((x) => x >= low / 1.2 && x <= 1.2 * high).length <= most) break;
    }
    while (base === 2 && at.length > 2 * most) for (let i = 1; i < at.length; i += 1) at.splice(i, 1);
  } else {
    const rough = (high - low || high) / most, power = base ** Math.floor(Math.log(rough) / Math.log(base));
    const step = [1, 2, 5, 10].map((x) => x * power).find((x) => x >= rough);
    for (let x = Math.floor(low / step - 1) * step; x <= high + step; x += step) if (x >= 0) at.push(x);
  }
  const whole = at.filter((x) => Number.isInteger(x));
  return { tickvals: whole, ticktext: whole.map((x) => amount(x, bytes).replace(/\.?0+(?= |$)/, "")) };
}

/** -1 where more is better, 1 where less is, null where neither is known. */
function direction(name) {
  const sought = goals.find((candidate) => candidate.name === name);
  if (sought) return sought.sign;
  return { maximize: -1, minimize: 1 }[figure(name).goal] ?? null;
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
    const names = [limit.names[state.dtype], limit.least[state.dtype]];
    const across = names.includes(x), up = names.includes(y);
    const style = { type: "line", line: { color: "#a63c06", width: 1.5, dash: "dash" } };
    const edge = state.limits[limit.id];
    if (across) return [{ ...style, x0: edge, x1: edge, yref: "paper", y0: 0, y1: 1 }];
    return up ? [{ ...style, y0: edge, y1: edge, xref: "paper", x0: 0, x1: 1 }] : [];
  });
  const logarithmic = $("log").checked && rows.every((row) => value(row, x) > 0);
  const layout = {
    margin: { l: 65, r: 15, t: 15, b: 50 }, hovermode: "closest", shapes: lines,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, uirevision: x + y + $("log").checked,
    xaxis: { title: { text: title(x) + unit(x) }, type: logarithmic ? "log" : "linear",
      exponentformat: "SI", gridcolor: "#e6ebef", ...marks(x, rows.map((row) => value(row, x)), logarithmic) },
    yaxis: { title: { text: title(y) + unit(y) }, exponentformat: "SI", gridcolor: "#e6ebef",
      ...marks(y, rows.map((row) => value(row, y)), false) },
  };
  Plotly.react("chart", traces, layout, { displaylogo: false, responsive: true });
  const missing = study.rows.length - rows.length;
  $("left-out").textContent = missing
    ? `${missing} of ${study.rows.length} trials have no value on these axes (refused, pruned, failed or running); the table has them all.`
    : "";
}

function hover(row) {
  const lines = study.metrics.filter((name) => name in row.metrics)
    .map((name) => `${title(name)} ${shown(row, name)}`);
  return [`<b>${row.name}</b>`, ...lines].join("<br>");
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
    customdata: live.map((bytes) => amount(bytes ?? 0, true)),
    hovertemplate: "%{x}: %{customdata}<extra></extra>",
    marker: { color: live.map((bytes) => (bytes === peak ? "#d55e00" : "#56b4e9")) },
  }], {
    margin: { l: 60, r: 10, t: 35, b: 80 }, title: { text: "Activations alive over the operators, float32 model", font: { size: 14 } },
    yaxis: { range: [0, peak * 1.15],
      tickvals: [0, peak / 2, peak], ticktext: [0, peak / 2, peak].map((x) => amount(Math.round(x), true)) },
    xaxis: { type: "category", tickangle: 40, automargin: true },
  }, { displayModeBar: false, responsive: true });
}

function curves(row) {
  Plotly.purge("curves");
  const names = Object.keys(row.curves).filter((name) => figure(name).unit === "share");
  $("curves").hidden = !names.length;
  if (!names.length) return;
  Plotly.newPlot("curves", names.map((name, i) => ({
    type: "scatter", mode: "lines+markers", name: title(name), y: row.curves[name].map((share) => 100 * share),
    x: row.curves[name].map((_, epoch) => epoch + 1), marker: { symbol: MARKS[i] },
    line: { color: COLOURS[i], dash: i ? "dash" : "solid" },
  })), {
    margin: { l: 60, r: 10, t: 35, b: 40 }, title: { text: "Learning curve", font: { size: 14 } },
    xaxis: { title: { text: "epoch" }, tick0: 1, dtick: Math.ceil(row.curves[names[0]].length / 15) },
    yaxis: { title: { text: "accuracy (%)" } },
    legend: { x: 1, xanchor: "right", y: 0.05 }, showlegend: true,
  }, { displayModeBar: false, responsive: true });
}
