// What a reader does with a plot: point at it and be told values, drag over it to zoom, click twice to go back.
const NEAR = 32;

const told = (template, trace, place, words) => {
  const custom = entry(trace.customdata, place);
  const values = {
    x: entry(trace.x, place), y: entry(trace.y, place), text: entry(trace.text, place), customdata: custom,
    "fullData.name": trace.name, ...words,
  };
  return template.replace("<extra></extra>", "").replace(/%\{([a-zA-Z.]+)(?:\[(\d+)\])?(?:([:|])([^}]*))?\}/g, (_, name, order, sign, format) => {
    const value = order === undefined ? values[name] : values[name][Number(order)];
    if (sign === "|") return calendar(value, format);
    if (sign === ":") return numeral(value, format);
    return typeof value === "number" ? numeral(value, "") : plain(value ?? "");
  });
};

Object.assign(Plot.prototype, {
  at(event) {
    const box = this.svg.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  },

  panelAt([x, y]) {
    for (const trace of this.traces) {
      const [across, up] = [this.axes[axisName(trace.xaxis || "x")], this.axes[axisName(trace.yaxis || "y")]];
      const inside = (axis, pixel) => pixel >= Math.min(...axis.pixels) - 8 && pixel <= Math.max(...axis.pixels) + 8;
      if (inside(across, x) && inside(up, y)) return {across, up};
    }
    return null;
  },

  listen() {
    const {place} = this;
    let start = null;
    place.addEventListener("pointermove", (event) => {
      if (!this.svg) return;
      if (start) this.drag(start, this.at(event)); else this.tell(this.at(event));
    });
    place.addEventListener("pointerleave", () => { if (!start) this.quiet(); });
    place.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || event.pointerType === "touch" || !this.svg || !this.panelAt(this.at(event))) return;
      start = this.at(event);
      place.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    place.addEventListener("pointerup", (event) => {
      const from = start;
      start = null;
      if (from) this.drop(from, this.at(event));
    });
    place.addEventListener("pointercancel", () => { start = null; this.quiet(); });
    place.addEventListener("dblclick", () => { this.zoom = {}; this.draw(); });
  },

  quiet() {
    this.tip.hidden = true;
    this.cursor?.replaceChildren();
  },

  drag([x0, y0], [x1, y1]) {
    this.quiet();
    const {across, up} = this.panelAt([x0, y0]) || {};
    if (!across) return;
    const flat = Math.abs(y1 - y0) < 20;
    const [top, bottom] = flat ? [Math.min(...up.pixels), Math.max(...up.pixels)] : [Math.min(y0, y1), Math.max(y0, y1)];
    element(this.cursor, "rect", {x: Math.min(x0, x1), y: top, width: Math.abs(x1 - x0), height: bottom - top},
      {fill: "var(--fall)", stroke: "var(--axis)"});
  },

  drop([x0, y0], [x1, y1]) {
    this.quiet();
    const {across, up} = this.panelAt([x0, y0]) || {};
    if (!across || Math.abs(x1 - x0) < 8) return;
    const within = (axis, a, b) => {
      const [low, high] = [Math.min(...axis.home), Math.max(...axis.home)];
      const ends = [axis.value(a), axis.value(b)].sort((p, q) => p - q).map((end) => Math.min(high, Math.max(low, end)));
      return axis.home[0] > axis.home[1] ? ends.reverse() : ends;
    };
    if (!across.fixedrange) this.zoom[across.name] = within(across, x0, x1);
    if (!up.fixedrange && Math.abs(y1 - y0) >= 20) this.zoom[up.name] = within(up, y0, y1);
    this.draw();
  },

  tell(point) {
    this.quiet();
    const panel = this.panelAt(point);
    if (!panel) return;
    const unified = (this.layout.hovermode || "x unified") === "x unified";
    const found = unified ? this.column(point, panel) : this.nearest(point);
    if (!found) return;
    this.tip.replaceChildren(...found.lines.map(([colour, text]) => {
      const line = document.createElement("div");
      if (colour) {
        const mark = document.createElement("i");
        mark.style.background = colour;
        line.append(mark);
      }
      line.append(plain(text));
      return line;
    }));
    this.tip.hidden = false;
    const [wide, high] = [this.tip.offsetWidth, this.tip.offsetHeight];
    const left = found.at[0] + 14 + wide > this.width ? Math.max(0, found.at[0] - 14 - wide) : found.at[0] + 14;
    this.tip.style.left = `${Math.min(left, Math.max(0, this.width - wide))}px`;
    this.tip.style.top = `${Math.max(0, Math.min(found.at[1] - high / 2, this.height - high))}px`;
  },

  // All series at the pointer's place on the horizontal axis, over every panel that shares it.
  column([x], {across}) {
    let best = null;
    const rows = [];
    for (const trace of this.traces) {
      if (trace.hoverinfo === "skip" || axisName(trace.xaxis || "x") !== across.name) continue;
      let place = -1, distance = Infinity;
      trace.x.forEach((value, order) => {
        const away = Math.abs(across.at(value) - x);
        if (away < distance && trace.y[order] !== null) [place, distance] = [order, away];
      });
      if (place < 0) continue;
      rows.push([trace, place]);
      if (best === null || distance < best.distance) best = {distance, value: trace.x[place]};
    }
    if (best === null) return null;
    const pixel = across.at(best.value);
    const lines = rows.filter(([trace, place]) => Math.abs(across.at(trace.x[place]) - pixel) < 12)
      .map(([trace, place]) => [lineColour(trace), `${plain(trace.name || "")}: ${told(trace.hovertemplate || "%{y}", trace, place)}`]);
    const head = across.kind === "date" ? calendar(best.value, across.hoverformat || "%Y-%m-%d")
      : `${plain(across.title?.text || "")} ${across.tickformat ? numeral(best.value, across.tickformat) : numeral(best.value, ".4")}`.trim();
    element(this.cursor, "path", {d: `M${pixel.toFixed(1)} ${this.frame.top}V${this.height - this.frame.bottom}`}, {stroke: "var(--axis)"});
    return {at: [pixel, this.frame.top + 30], lines: [[null, head], ...lines]};
  },

  nearest([x, y]) {
    let best = {distance: NEAR};
    for (const trace of this.traces) {
      if (trace.hoverinfo === "skip" || !trace.hovertemplate) continue;
      const [across, up] = [this.axes[axisName(trace.xaxis || "x")], this.axes[axisName(trace.yaxis || "y")]];
      const offer = (distance, at, place, text) => { if (distance < best.distance) best = {distance, at, trace, place, text}; };
      if (trace.type === "bar") {
        const flat = trace.orientation === "h";
        this.spans.get(trace).forEach((span, place) => {
          if (span === null) return;
          const [left, right] = [across.pixel(span[0]), across.pixel(span[1])].sort((a, b) => a - b);
          const [top, bottom] = [flat ? up.pixel(span[2]) : up.at(span[2]), flat ? up.pixel(span[3]) : up.at(span[3])].sort((a, b) => a - b);
          const away = Math.hypot(Math.max(0, left - x, x - right), Math.max(0, top - y, y - bottom));
          offer(away, [flat ? x : (left + right) / 2, flat ? (top + bottom) / 2 : y], place);
        });
      } else if (trace.type === "heatmap") {
        const close = (values, axis, pixel) => listed(values).reduce((found, value, order) => {
          const away = Math.abs(axis.at(value) - pixel);
          return away < found[1] ? [order, away] : found;
        }, [0, Infinity])[0];
        const [column, row] = [close(trace.x, across, x), close(trace.y, up, y)];
        if (trace.z[row][column] === null) continue;
        const cells = {...trace, customdata: trace.customdata[row], text: trace.text[row], x: trace.x, y: trace.y};
        offer(0, [across.at(trace.x[column]), up.at(trace.y[row])], column, told(trace.hovertemplate, cells, column));
      } else {
        trace.x.forEach((value, place) => {
          const at = [across.at(value), up.at(trace.y[place])];
          offer(Math.hypot(at[0] - x, at[1] - y), at, place);
        });
        if (trace.mode === "lines" && trace.x.length === 2 && trace.x[0] === trace.x[1]) offer(Math.abs(across.at(trace.x[0]) - x), [x, y], 0);
      }
    }
    if (!best.at) return null;
    const text = best.text || told(best.trace.hovertemplate, best.trace, best.place);
    const [first, ...rest] = text.split("<br>");
    element(this.cursor, "circle", {cx: best.at[0], cy: best.at[1], r: 4}, {fill: "none", stroke: "var(--ink)"});
    return {at: best.at, lines: [[lineColour(best.trace), first], ...rest.map((line) => [null, line])]};
  },
});
