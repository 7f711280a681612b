// A figure as SVG: axes, panels and traces; what is pointed at is told, and dragging zooms.
const FONT = 12;
const COARSE = window.matchMedia("(pointer: coarse)");

const axisName = (id) => `${id[0]}axis${id.slice(1)}`;
const spread = (values) => values.reduce((ends, value) => {
  if (value === null || value === undefined || !Number.isFinite(value)) return ends;
  return [Math.min(ends[0], value), Math.max(ends[1], value)];
}, [Infinity, -Infinity]);

// Bars by trace: the edges across and the ends upward of each, stacked or side by side as the layout says.
const barSpans = (traces, layout, number) => {
  const bars = traces.filter((trace) => trace.type === "bar");
  const spans = new Map();
  const places = (trace) => (trace.orientation === "h" ? trace.y : trace.x).map((value) => number(trace, value));
  const mode = layout.barmode || "group";
  for (const id of new Set(bars.map((trace) => trace.yaxis || "y"))) {
    const mine = bars.filter((trace) => (trace.yaxis || "y") === id);
    const all = mine.flatMap(places);
    const distinct = [...new Set(all)].sort((a, b) => a - b);
    const gap = distinct.slice(1).reduce((least, value, place) => Math.min(least, value - distinct[place]), Infinity);
    const room = (Number.isFinite(gap) ? gap : 1) * (1 - (layout.bargap ?? 0.2));
    const beside = mode === "group" && all.length > distinct.length ? mine.length : 1;
    const heaps = new Map();
    mine.forEach((trace, order) => {
      const width = (place) => entry(trace.width, place) ?? room / beside;
      const lengths = trace.orientation === "h" ? trace.x : trace.y;
      spans.set(trace, places(trace).map((middle, place) => {
        const length = lengths[place];
        if (length === null || !Number.isFinite(length)) return null;
        const wide = width(place);
        const shift = beside > 1 ? (order - (beside - 1) / 2) * wide : 0;
        const left = middle + (entry(trace.offset, place) ?? shift - wide / 2);
        let from = entry(trace.base, place) ?? 0;
        if (mode === "stack") {
          const key = `${middle} ${length < 0}`;
          from = heaps.get(key) || 0;
          heaps.set(key, from + length);
        }
        return trace.orientation === "h" ? [from, from + length, left, left + wide] : [left, left + wide, from, from + length];
      }));
    });
  }
  return spans;
};

class Plot {
  constructor(place, figure) {
    Object.assign(this, {place, figure, zoom: {}, shown: () => true, changes: {}, printing: false});
    this.tip = document.createElement("div");
    this.tip.className = "tip";
    this.tip.hidden = true;
    this.listen();
  }

  // What a chart shows now: `shown` tells of each trace whether it is drawn, `changes` lays over the axes.
  draw(shown = this.shown, changes = this.changes) {
    Object.assign(this, {shown, changes});
    const {figure, place} = this;
    const layout = {...figure.layout};
    for (const [name, change] of Object.entries(changes)) layout[name] = {...layout[name], ...change};
    this.layout = layout;
    this.traces = figure.data.filter(shown).map((trace) => ({...trace, type: trace.type || "scatter"}));
    this.width = this.printing ? 660 : Math.max(200, place.clientWidth);
    this.narrow = !this.printing && this.width < 520;
    this.size = this.printing ? 9.5 : this.narrow ? 11 : FONT;
    this.panels();
    this.height = Math.round(layout.height * (this.printing ? 0.58 : 1) * (this.stacked || 1));
    this.scale();
    const svg = element(null, "svg", {
      class: "plot", width: this.width, height: this.height, viewBox: `0 0 ${this.width} ${this.height}`, "aria-hidden": "true",
      "font-size": this.size,
    }, {fill: "var(--muted)"});
    place.style.minHeight = `${this.height}px`;
    place.replaceChildren(svg, this.tip);
    this.tip.hidden = true;
    this.svg = svg;
    this.paint();
  }

  // The axes by name with their domains; on a narrow screen panels side by side are put below one another.
  panels() {
    const {layout, figure} = this;
    this.axes = {};
    const pairs = new Map();
    for (const trace of figure.data) {
      const [x, y] = [axisName(trace.xaxis || "x"), axisName(trace.yaxis || "y")];
      for (const name of [x, y]) {
        this.axes[name] ||= {name, domain: [0, 1], ...(layout[name] || {}), values: [], letter: name[0]};
      }
      pairs.set(`${x} ${y}`, [x, y]);
    }
    for (const axis of Object.values(this.axes)) {
      if (axis.overlaying) axis.domain = (layout[axisName(axis.overlaying)] || {}).domain || [0, 1];
    }
    this.notes = (layout.annotations || []).map((note) => ({...note}));
    this.stacked = 1;
    const lefts = new Set([...pairs.values()].map(([x]) => this.axes[x].domain[0].toFixed(3)));
    if (!this.narrow || lefts.size < 2) return;
    const order = [...pairs.values()].sort(([x1, y1], [x2, y2]) => this.axes[y2].domain[1] - this.axes[y1].domain[1]
      || this.axes[x1].domain[0] - this.axes[x2].domain[0]);
    const each = 1 / order.length;
    const kept = order.map(([x, y]) => [this.axes[x].domain, this.axes[y].domain]);
    order.forEach(([x, y], place) => {
      const [across, up] = kept[place];
      const top = 1 - place * each;
      for (const note of this.notes) {
        if (note.xref !== "paper" || Math.abs(note.y - up[1]) > 0.02 || note.x < across[0] - 0.01 || note.x > across[1] + 0.01) continue;
        if (!note.moved) Object.assign(note, {moved: true, x: 0.5, y: top - 0.12 * each});
      }
      this.axes[x].domain = [0, 1];
      this.axes[y].domain = [top - 0.8 * each, top - 0.12 * each];
      this.axes[y].showticklabels = true;
    });
    this.stacked = lefts.size;
  }

  number(axis, value) {
    if (value === null || value === undefined) return null;
    if (axis.kind === "category") return axis.names.indexOf(String(value));
    if (axis.kind === "log") return value > 0 ? Math.log10(value) : null;
    return Number(value);
  }

  scale() {
    const {axes, traces} = this;
    const of = (trace, letter) => axes[axisName(trace[`${letter}axis`] || letter)];
    for (const axis of Object.values(axes)) {
      const mine = this.figure.data.filter((trace) => of(trace, axis.letter) === axis);
      const words = mine.flatMap((trace) => listed(trace[axis.letter])).filter((value) => typeof value === "string");
      axis.kind = axis.type || (words.length ? "category" : "linear");
      if (axis.kind === "category") axis.names = [...new Set(words.map(String))];
    }
    const place = (trace, value) => this.number(of(trace, trace.orientation === "h" ? "y" : "x"), value);
    this.spans = barSpans(traces, this.layout, place);
    for (const trace of traces) {
      const [across, up] = [of(trace, "x"), of(trace, "y")];
      const window = this.zoom[across.name];
      if (trace.type === "bar") {
        for (const span of this.spans.get(trace)) {
          if (span === null) continue;
          across.values.push(span[0], span[1]);
          up.values.push(span[2], span[3]);
        }
        this.reach(trace, up, "error_y", (value) => value);
      } else if (trace.type === "heatmap") {
        for (const axis of [across, up]) {
          const middles = listed(trace[axis.letter]).map((value) => this.number(axis, value));
          const half = middles.length > 1 ? (middles[1] - middles[0]) / 2 : 0.5;
          for (const middle of middles) axis.values.push(middle - half, middle + half);
        }
      } else {
        const numbers = trace.x.map((value) => this.number(across, value));
        for (const value of numbers) across.values.push(value);
        trace.y.forEach((value, order) => {
          if (!window || (numbers[order] >= window[0] && numbers[order] <= window[1])) up.values.push(this.number(up, value));
        });
        if (trace.fill === "tozeroy") up.values.push(0);
        this.reach(trace, up, "error_y", (value) => this.number(up, value));
        this.reach(trace, across, "error_x", (value) => this.number(across, value));
        if (/markers|text/.test(trace.mode || "")) across.padded = up.padded = true;
      }
      if (trace.type !== "scatter") (trace.orientation === "h" ? up : across).full = true;
    }
    for (const axis of Object.values(axes)) this.span(axis);
    for (const axis of Object.values(axes)) {
      const group = Object.values(axes).filter((other) => other.letter === axis.letter && (other.matches || other.name.replace("axis", ""))
        === (axis.matches || axis.name.replace("axis", "")));
      if (group.length > 1 && !axis.range) axis.ends = spread(group.flatMap((other) => other.ends));
    }
    this.margins();
  }

  reach(trace, axis, key, number) {
    const errors = trace[key];
    if (!errors || errors.visible === false || !errors.array) return;
    trace[axis.letter].forEach((value, order) => {
      axis.values.push(number(value + errors.array[order]), number(value - (errors.arrayminus || errors.array)[order]));
    });
  }

  span(axis) {
    let [low, high] = spread(axis.values);
    if (axis.kind === "category") [low, high] = [-0.5, axis.names.length - 0.5];
    else if (!Number.isFinite(low)) [low, high] = axis.kind === "date" ? [0, DAY] : [0, 1];
    else {
      if (axis.rangemode === "tozero" && axis.kind !== "log") [low, high] = [Math.min(0, low), Math.max(0, high)];
      const room = (high - low) * (axis.letter === "y" || axis.padded ? 0.05 : axis.full ? 0.01 : 0) || (high === low ? Math.abs(high) || 1 : 0);
      [low, high] = [low === 0 && !axis.padded ? 0 : low - room, high === 0 && !axis.padded ? 0 : high + room];
    }
    axis.home = axis.range ? axis.range.map(Number) : [low, high];
    axis.ends = this.zoom[axis.name] || axis.home;
  }

  // Labels are measured before the frame is cut, so that none is lost at the edge; long names are shortened, with a title.
  margins() {
    const {layout, axes, size} = this;
    const wanted = (axis) => {
      const room = axis.letter === "x" ? this.width * (axis.domain[1] - axis.domain[0]) / (this.narrow ? 75 : 95)
        : this.height * (axis.domain[1] - axis.domain[0]) / 42;
      return Math.max(2, Math.min(axis.nticks || 12, Math.round(room)));
    };
    for (const axis of Object.values(axes)) {
      const [low, high] = [Math.min(...axis.ends), Math.max(...axis.ends)];
      let found;
      if (axis.tickvals) found = axis.tickvals.map((value, order) => ({at: Number(value), text: plain(axis.ticktext?.[order] ?? value)}));
      else if (axis.kind === "category") found = axis.names.map((name, at) => ({at, text: plain(name)}));
      else if (axis.kind === "log") found = logTicks(low, high, wanted(axis));
      else if (axis.kind === "date") found = dateTicks(low, high, wanted(axis));
      else found = linearTicks(low, high, wanted(axis), axis);
      axis.ticks = axis.visible === false ? [] : found.filter(({at}) => at >= low - 1e-9 * Math.abs(low) && at <= high + 1e-9 * Math.abs(high));
    }
    const own = layout.margin || {};
    const shown = Object.values(axes).filter((axis) => axis.visible !== false);
    const longest = Math.max(0, ...shown.filter((axis) => axis.letter === "y" && axis.showticklabels !== false && axis.domain !== undefined)
      .flatMap((axis) => axis.ticks.map(({text}) => textWidth(text, axis.tickfont?.size || size))));
    const titled = !this.narrow && shown.some((axis) => axis.letter === "y" && axis.title?.text);
    const named = shown.some((axis) => axis.letter === "x" && axis.title?.text);
    this.room = Math.min(longest, this.width * (this.narrow ? 0.34 : 0.4));
    const bar = this.traces.find((trace) => trace.type === "heatmap" && trace.showscale !== false);
    this.frame = {
      left: Math.max(this.narrow ? 8 : 30, this.room + 10 + (titled ? 20 : 0)), right: bar ? 74 : 20,
      top: this.stacked > 1 ? 12 : own.t ?? 12, bottom: named ? size + 30 : size + 14,
    };
    const {left, right, top, bottom} = this.frame;
    for (const axis of Object.values(axes)) {
      const [from, to] = axis.domain;
      const [start, length] = axis.letter === "x" ? [left, this.width - left - right] : [top, this.height - top - bottom];
      axis.pixels = axis.letter === "x" ? [start + from * length, start + to * length] : [start + (1 - from) * length, start + (1 - to) * length];
      const [low, high] = axis.ends;
      const [begin, end] = axis.pixels;
      axis.pixel = (value) => begin + (value - low) / (high - low) * (end - begin);
      axis.value = (pixel) => low + (pixel - begin) / (end - begin) * (high - low);
      axis.at = (value) => {
        const number = this.number(axis, value);
        return number === null ? NaN : axis.pixel(number);
      };
    }
    this.bar = bar;
  }

  partner(axis) {
    const letter = axis.letter === "x" ? "y" : "x";
    const anchored = axis.anchor && axis.anchor !== "free" ? this.axes[axisName(axis.anchor)] : null;
    return anchored || this.axes[axisName(`${letter}${axis.name.slice(5)}`)] || this.axes[`${letter}axis`];
  }

  paint() {
    const back = element(this.svg, "g");
    const clips = element(this.svg, "defs");
    for (const axis of Object.values(this.axes)) if (axis.visible !== false) this.paintAxis(back, axis);
    for (const shape of this.layout.shapes || []) this.paintShape(back, shape);
    const layer = {};
    const holder = element(this.svg, "g");
    const order = (trace) => (trace.fill === "toself" ? 0 : trace.type === "scatter" ? 2 : 1);
    const words = new Map();
    for (const trace of [...this.traces].sort((a, b) => order(a) - order(b))) {
      const [x, y] = [this.axes[axisName(trace.xaxis || "x")], this.axes[axisName(trace.yaxis || "y")]];
      const id = `clip-${this.place.id}-${x.name}-${y.name}`;
      if (!document.getElementById(id) && !clips.querySelector(`#${CSS.escape(id)}`)) {
        const [top, left] = [Math.min(...y.pixels), Math.min(...x.pixels)];
        const box = {x: left - 7, y: top - 7, width: Math.abs(x.pixels[1] - x.pixels[0]) + 14, height: Math.abs(y.pixels[1] - y.pixels[0]) + 14};
        element(element(clips, "clipPath", {id}), "rect", box);
      }
      layer[id] ||= element(holder, "g", {"clip-path": `url(#${id})`});
      const part = element(layer[id], "g", {class: `trace ${trace.type}`});
      part.dataset.name = plain(trace.name || "");
      const axes = {x: {at: x.at}, y: {at: y.at}};
      if (trace.type === "bar") drawBars(part, trace, {x: {at: x.pixel}, y: {at: trace.orientation === "h" ? y.pixel : y.at}}, this.spans.get(trace));
      else if (trace.type === "heatmap") drawCells(part, trace, axes);
      else {
        const notes = [];
        drawScatter(part, trace, axes, notes);
        if (notes.length) words.set(y, [...(words.get(y) || []), ...notes.map((note) => ({...note, x}))]);
      }
    }
    for (const [y, notes] of words) {
      const {x} = notes[0];
      placeNotes(holder, notes, [x.pixels[0], Math.min(...y.pixels), x.pixels[1], Math.max(...y.pixels)], this.size);
    }
    for (const note of this.notes) this.paintNote(note);
    if (this.bar) this.paintBar();
    this.cursor = element(this.svg, "g", {class: "cursor"});
  }

  paintAxis(layer, axis) {
    const other = this.partner(axis);
    const across = axis.letter === "x";
    const [near, far] = across ? [Math.max(...other.pixels), Math.min(...other.pixels)] : [Math.min(...other.pixels), Math.max(...other.pixels)];
    const size = axis.tickfont?.size || this.size;
    let last = -Infinity;
    for (const {at, text} of axis.ticks) {
      const pixel = axis.pixel(at);
      if (axis.showgrid !== false) {
        element(layer, "path", {d: across ? `M${pixel.toFixed(1)} ${near}V${far}` : `M${near} ${pixel.toFixed(1)}H${far}`, class: "grid"}, {stroke: "var(--grid)"});
      }
      if (axis.showticklabels === false) continue;
      if (across) {
        const half = textWidth(text, size) / 2;
        const middle = Math.min(Math.max(pixel, half + 1), this.width - half - 1);
        if (middle - half < last + 8) continue;
        last = middle + half;
        element(layer, "text", {x: middle.toFixed(1), y: near + size + 5, "text-anchor": "middle", "font-size": size}, {}, text);
      } else {
        if (Math.abs(pixel - last) < size) continue;
        last = pixel;
        const words = shortened(text, this.room, size);
        const made = element(layer, "text", {x: near - 7, y: (pixel + 0.35 * size).toFixed(1), "text-anchor": "end", "font-size": size}, {}, words);
        if (words !== text) element(made, "title", {}, {}, text);
      }
    }
    const [low, high] = [Math.min(...axis.ends), Math.max(...axis.ends)];
    if (axis.zeroline && axis.kind !== "log" && low <= 0 && high >= 0) {
      const zero = axis.pixel(0).toFixed(1);
      element(layer, "path", {d: across ? `M${zero} ${near}V${far}` : `M${near} ${zero}H${far}`}, {stroke: "var(--axis)"});
    }
    const title = plain(axis.title?.text || "");
    const [start, end] = axis.pixels;
    if (title && across) {
      const words = shortened(title, this.width - 8, this.size);
      const half = textWidth(words, this.size) / 2;
      const middle = Math.min(Math.max((start + end) / 2, half + 2), this.width - half - 2);
      element(layer, "text", {x: middle, y: near + 2 * this.size + 14, "text-anchor": "middle"}, {}, words);
    } else if (title && !this.narrow) {
      const words = shortened(title, Math.abs(end - start) + 30, this.size);
      element(layer, "text", {transform: `translate(${near - this.room - 18} ${(start + end) / 2}) rotate(-90)`, "text-anchor": "middle"}, {}, words);
    }
  }

  paintShape(layer, shape) {
    const place = (ref, value, letter) => {
      const axis = this.axes[axisName((ref || letter).split(" ")[0])];
      if (!axis) return NaN;
      return (ref || "").includes("domain") ? axis.pixels[0] + value * (axis.pixels[1] - axis.pixels[0]) : axis.at(value);
    };
    const [x0, x1] = [place(shape.xref, shape.x0, "x"), place(shape.xref, shape.x1, "x")];
    const [y0, y1] = [place(shape.yref, shape.y0, "y"), place(shape.yref, shape.y1, "y")];
    const inside = x0 >= this.frame.left - 1 && x0 <= this.width - this.frame.right + 1;
    if (![x0, x1, y0, y1].every(Number.isFinite) || !inside) return;
    element(layer, "path", {d: `M${x0} ${y0}L${x1} ${y1}`, "stroke-width": shape.line?.width || 1, "stroke-dasharray": DASHES[shape.line?.dash]},
      {stroke: shape.line?.color || "var(--axis)"});
  }

  paintNote(note) {
    const {left, right, top, bottom} = this.frame;
    const [wide, high] = [this.width - left - right, this.height - top - bottom];
    const size = note.font?.size || this.size;
    const words = shortened(plain(note.text), (this.stacked > 1 || this.notes.length < 2 ? 1 : 0.46) * wide, size);
    element(this.svg, "text", {x: left + note.x * wide, y: top + (1 - note.y) * high - 6, "text-anchor": "middle", "font-size": size},
      {fill: note.font?.color || "var(--muted)"}, words);
  }

  paintBar() {
    const {colorbar = {}, colorscale, zmin, zmax} = this.bar;
    const [x, top, bottom] = [this.width - 62, this.frame.top, this.height - this.frame.bottom];
    const steps = 40;
    const tall = Math.min(bottom - top, 260);
    for (let step = 0; step < steps; step += 1) {
      element(this.svg, "rect", {x, y: top + tall * (1 - (step + 1) / steps), width: 10, height: tall / steps + 0.5},
        {fill: mixed(colorscale, (step + 0.5) / steps)});
    }
    (colorbar.tickvals || []).forEach((value, order) => {
      const y = top + tall * (1 - (value - zmin) / (zmax - zmin));
      element(this.svg, "text", {x: x + 14, y: y + 4}, {}, plain(colorbar.ticktext[order]));
    });
    if (colorbar.title?.text) {
      element(this.svg, "text", {transform: `translate(${this.width - 6} ${top + tall / 2}) rotate(-90)`, "text-anchor": "middle"}, {}, plain(colorbar.title.text));
    }
  }
}
