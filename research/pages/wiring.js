// What surrounds the plots of a page: their data, legends, controls, the theme, and how they look on paper.
const root = document.documentElement;
const scheme = window.matchMedia("(prefers-color-scheme: dark)");
const charts = [];

// A choice of colours is kept for the next page, where the browser lets a page keep anything.
const KEPT = "embargo-theme";
const remembered = () => {
  try { return localStorage.getItem(KEPT); } catch { return null; }
};
const remember = (name) => {
  try { localStorage.setItem(KEPT, name); } catch { /* It holds for this page. */ }
};
let chosen = ["light", "dark"].find((name) => name === remembered());

const theme = () => chosen || (scheme.matches ? "dark" : "light");

// Long columns are written once for a page, instants as steps from the one before; see compact.py.
const unpacked = (value, columns) => {
  if (Array.isArray(value)) return value.map((entry) => unpacked(entry, columns));
  if (value === null || typeof value !== "object") return value;
  if ("column" in value) return columns[value.column];
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, unpacked(entry, columns)]));
};
const columnsOf = (packed) => packed.map((column) => {
  if (Array.isArray(column)) return column;
  let at = column.from;
  return column.steps.map((step) => (step === null ? null : (at += step * column.unit)));
});

const keyOf = (trace) => trace.legendgroup || trace.name;
const inUse = (chart, trace) => !(trace.meta && trace.meta.choice) || trace.meta.choice === chart.choice;

const draw = (chart) => {
  for (const [key, button] of chart.legend) {
    button.setAttribute("aria-pressed", String(!chart.hidden.has(key)));
    button.hidden = !chart.figure.data.some((trace) => keyOf(trace) === key && inUse(chart, trace));
  }
  chart.plot.draw((trace) => inUse(chart, trace) && !chart.hidden.has(keyOf(trace)), chart.log ? {yaxis2: {type: "log", rangemode: "normal"}} : {});
};

const swatch = (trace) => {
  const colour = trace.fillcolor && !trace.line?.dash ? trace.fillcolor : trace.type === "bar" ? listed(trace.marker?.color)[0] : lineColour(trace);
  const svg = element(null, "svg", {width: 24, height: 12, "aria-hidden": "true"});
  if (trace.mode?.includes("markers")) {
    const marker = trace.marker || {};
    if (trace.mode.includes("lines")) element(svg, "path", {d: "M1 6H23", "stroke-width": 2}, {stroke: colour});
    drawMark(svg, listed(marker.symbol)[0] || "circle", 9, listed(marker.color)[0] || colour, 2, [12, 6]);
  } else if (trace.mode?.includes("lines") && trace.fill !== "toself") {
    element(svg, "path", {d: "M1 6H23", "stroke-width": 2, "stroke-dasharray": DASHES[trace.line?.dash]}, {stroke: trace.line?.color || colour});
  } else {
    const box = {x: 3, y: 1, width: 18, height: 10};
    element(svg, "rect", box, {fill: colour, stroke: "var(--axis)"});
    const pattern = trace.fillpattern?.shape ? "mark" : {"/": "slash", x: "cross"}[trace.marker?.pattern?.shape];
    if (pattern) element(svg, "rect", box, {fill: `url(#plot-${pattern})`});
  }
  return svg;
};

const buildLegend = (chart, place) => {
  for (const trace of chart.figure.data) {
    if (trace.showlegend === false || !trace.name || chart.legend.has(keyOf(trace))) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Show or hide";
    button.append(swatch(trace), plain(trace.name));
    button.addEventListener("click", () => {
      const key = keyOf(trace);
      if (!chart.hidden.delete(key)) chart.hidden.add(key);
      draw(chart);
    });
    chart.legend.set(keyOf(trace), button);
    place.append(button);
  }
};

const wireControls = (chart, holder) => {
  for (const button of holder.querySelectorAll("button[data-set]")) {
    button.addEventListener("click", () => {
      const {set, value} = button.dataset;
      if (set === "scale") chart.log = value === "log";
      else chart.choice = value;
      for (const other of holder.querySelectorAll(`button[data-set="${set}"]`)) {
        other.setAttribute("aria-pressed", String(other === button));
      }
      draw(chart);
    });
  }
  const list = holder.querySelector("select[data-choice]");
  list?.addEventListener("change", () => {
    chart.choice = list.value;
    chart.plot.zoom = {};
    draw(chart);
  });
};

// In the next frame, since what is done then may change sizes again.
const onResize = (parts, then) => {
  const watch = new ResizeObserver(() => requestAnimationFrame(then));
  for (const part of parts) watch.observe(part);
};

const start = (holder, columns) => {
  const place = holder.querySelector(".chart");
  try {
    const figure = unpacked(JSON.parse(holder.querySelector("script").textContent), columns);
    const first = figure.data.find((trace) => trace.meta && trace.meta.choice);
    const plot = new Plot(place, figure);
    const chart = {place, figure, plot, hidden: new Set(), legend: new Map(), log: false, choice: first ? first.meta.choice : ""};
    place.plot = plot;
    buildLegend(chart, holder.querySelector(".legend"));
    wireControls(chart, holder);
    charts.push(chart);
    draw(chart);
    onResize([place], () => {
      if (!plot.printing && place.clientWidth && place.clientWidth !== plot.width) draw(chart);
    });
    holder.dataset.drawn = "yes";
  } catch (error) {
    holder.dataset.drawn = "failed";
    place.classList.add("failed");
    place.textContent = `This chart could not be drawn: ${error.message}`;
  }
};

const patterns = () => {
  const svg = element(null, "svg", {width: 0, height: 0, "aria-hidden": "true"}, {position: "absolute"});
  for (const [id, colour, path] of [["slash", "var(--panel)", "M0 6L6 0"], ["cross", "var(--panel)", "M0 6L6 0M0 0L6 6"], ["mark", "var(--hatch)", "M0 6L6 0"]]) {
    const pattern = element(svg, "pattern", {id: `plot-${id}`, width: 6, height: 6, patternUnits: "userSpaceOnUse"});
    element(pattern, "path", {d: path, "stroke-width": 1}, {stroke: colour, fill: "none"});
  }
  document.body.append(svg);
};

const paint = () => { root.dataset.theme = theme(); };
const themeButton = document.querySelector(".theme");
themeButton.hidden = false;
themeButton.addEventListener("click", () => {
  chosen = theme() === "dark" ? "light" : "dark";
  remember(chosen);
  paint();
});
scheme.addEventListener("change", paint);

// A table that is wider than its place says so; all are measured before any is changed.
const tables = [...document.querySelectorAll(".scroll")];
const markWide = () => {
  const wide = tables.map((part) => part.scrollWidth > part.clientWidth + 1);
  tables.forEach((part, place) => part.classList.toggle("beyond", wide[place]));
};
onResize(tables, markWide);

const onPaper = (printing) => {
  root.dataset.theme = printing ? "light" : theme();
  for (const chart of charts) {
    chart.plot.printing = printing;
    draw(chart);
  }
};
// What the reader folded stays folded on paper: open it first to have it printed.
window.addEventListener("beforeprint", () => onPaper(true));
window.addEventListener("afterprint", () => onPaper(false));

paint();
patterns();
const columns = columnsOf(JSON.parse(document.getElementById("columns").textContent));
for (const holder of document.querySelectorAll("figure[data-chart]")) start(holder, columns);
markWide();
root.dataset.charts = "ready";
