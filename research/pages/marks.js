// Traces as SVG: lines, marks, bars and cells. Nothing from outside is read as markup: text is set as text.
const SVG = "http://www.w3.org/2000/svg";
const DASHES = {dash: "6 4", dot: "2 3", dashdot: "7 3 2 3", longdash: "10 4", longdashdot: "10 3 2 3"};

const plain = (text) => String(text).replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

const element = (parent, name, attributes = {}, style = {}, text = null) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined && value !== null) made.setAttribute(key, value);
  Object.assign(made.style, style);
  if (text !== null) made.textContent = text;
  if (parent) parent.append(made);
  return made;
};

const corners = (number, size, turn = -Math.PI / 2, inner = null) => {
  const points = [];
  const all = inner === null ? number : 2 * number;
  for (let place = 0; place < all; place += 1) {
    const radius = inner !== null && place % 2 ? size * inner : size;
    const angle = turn + 2 * Math.PI * place / all;
    points.push(`${(radius * Math.cos(angle)).toFixed(2)} ${(radius * Math.sin(angle)).toFixed(2)}`);
  }
  return `M${points.join("L")}Z`;
};

const SHAPES = {
  circle: (r) => `M${-r} 0A${r} ${r} 0 1 1 ${r} 0A${r} ${r} 0 1 1 ${-r} 0Z`,
  square: (r) => `M${-r} ${-r}H${r}V${r}H${-r}Z`,
  diamond: (r) => corners(4, 1.3 * r),
  "triangle-up": (r) => corners(3, 1.2 * r),
  "triangle-down": (r) => corners(3, 1.2 * r, Math.PI / 2),
  pentagon: (r) => corners(5, 1.15 * r),
  star: (r) => corners(5, 1.4 * r, -Math.PI / 2, 0.45),
  x: (r) => `M${-r} ${-r}L${r} ${r}M${-r} ${r}L${r} ${-r}`,
};

const drawMark = (parent, symbol, size, colour, width, at) => {
  const open = symbol.endsWith("-open") || symbol.startsWith("x");
  const path = SHAPES[symbol.replace("-open", "")](size / 2);
  return element(parent, "path", {d: path, transform: `translate(${at[0].toFixed(1)} ${at[1].toFixed(1)})`, "stroke-width": width},
    {fill: open ? "none" : colour, stroke: colour});
};

const entry = (values, place) => (Array.isArray(values) ? values[place] : values);
const listed = (values) => (Array.isArray(values) ? values : values === undefined || values === null ? [] : [values]);
const lineColour = (trace) => trace.line?.color || trace.marker?.color || "var(--series-0)";

const linePath = (points, stepped) => {
  let path = "", pen = false, last = null;
  for (const point of points) {
    if (point === null) { pen = false; continue; }
    const [x, y] = [point[0].toFixed(1), point[1].toFixed(1)];
    path += pen ? (stepped ? `H${x}V${y}` : `L${x} ${y}`) : `M${x} ${y}`;
    [pen, last] = [true, x];
  }
  return path;
};

const drawWhiskers = (layer, trace, points, axes, errors, vertical) => {
  if (!errors || errors.visible === false || !errors.array) return;
  const axis = vertical ? axes.y : axes.x;
  const values = vertical ? trace.y : trace.x;
  const half = errors.width ?? 4;
  let path = "";
  points.forEach((point, place) => {
    if (point === null) return;
    const middle = Number(values[place]);
    const [up, down] = [errors.array[place], (errors.arrayminus || errors.array)[place]];
    if (!Number.isFinite(up) || !Number.isFinite(down)) return;
    const ends = [axis.at(middle - down), axis.at(middle + up)].map((end) => end.toFixed(1));
    const [x, y] = point.map((part) => part.toFixed(1));
    path += vertical
      ? `M${x} ${ends[0]}V${ends[1]}M${x - half} ${ends[0]}h${2 * half}M${x - half} ${ends[1]}h${2 * half}`
      : `M${ends[0]} ${y}H${ends[1]}M${ends[0]} ${y - half}v${2 * half}M${ends[1]} ${y - half}v${2 * half}`;
  });
  element(layer, "path", {d: path, "stroke-width": errors.thickness || 1.4}, {fill: "none", stroke: errors.color || lineColour(trace)});
};

const drawScatter = (layer, trace, axes, notes) => {
  const points = trace.x.map((x, place) => {
    const y = trace.y[place];
    if (x === null || y === null || y === undefined) return null;
    const at = [axes.x.at(x), axes.y.at(y)];
    return at.every(Number.isFinite) ? at : null;
  });
  const mode = trace.mode || "lines";
  const style = {fill: "none", stroke: lineColour(trace)};
  if (trace.fill === "toself") {
    // A gap closes one outline and opens the next.
    const path = linePath(points).replaceAll("M", "ZM").slice(1) + "Z";
    element(layer, "path", {d: path}, {fill: trace.fillcolor || style.stroke, stroke: "none"});
    if (trace.fillpattern?.shape) element(layer, "path", {d: path}, {fill: "url(#plot-mark)", stroke: "none"});
    return;
  }
  const stepped = trace.line?.shape === "hv";
  if (trace.fill === "tozeroy") {
    const floor = axes.y.at(0);
    let run = [];
    const close = () => {
      if (run.length > 1) {
        const path = `${linePath(run, stepped)}V${floor.toFixed(1)}H${run[0][0].toFixed(1)}Z`;
        element(layer, "path", {d: path}, {fill: trace.fillcolor, stroke: "none"});
      }
      run = [];
    };
    for (const point of points) if (point === null) close(); else run.push(point);
    close();
  }
  if (mode.includes("lines") && (trace.line?.width ?? 2) > 0) {
    element(layer, "path", {
      d: linePath(points, stepped), "stroke-width": trace.line?.width ?? 2, "stroke-dasharray": DASHES[trace.line?.dash],
      "stroke-linejoin": "round", class: "line",
    }, style);
  }
  drawWhiskers(layer, trace, points, axes, trace.error_x, false);
  drawWhiskers(layer, trace, points, axes, trace.error_y, true);
  if (mode.includes("markers")) {
    const marker = trace.marker || {};
    points.forEach((point, place) => {
      if (point === null) return;
      const colour = entry(marker.color, place) || style.stroke;
      const symbol = entry(marker.symbol, place) || "circle";
      drawMark(layer, symbol, entry(marker.size, place) || 6, colour, marker.line?.width || (symbol.endsWith("open") ? 1.6 : 0.8), point)
        .classList.add("mark");
    });
  }
  if (mode.includes("text")) {
    points.forEach((point, place) => {
      const text = plain(entry(trace.text, place) ?? "").trim();
      if (point !== null && text) notes.push({point, text, position: entry(trace.textposition, place) || "middle center"});
    });
  }
};

const hatched = (layer, box, pattern) => {
  if (pattern) element(layer, "rect", box, {fill: `url(#plot-${pattern === "x" ? "cross" : "slash"})`});
};

const drawBars = (layer, trace, axes, spans) => {
  const marker = trace.marker || {};
  spans.forEach((span, place) => {
    if (span === null) return;
    const [left, right, low, high] = span;
    const across = [axes.x.at(left), axes.x.at(right)].sort((a, b) => a - b);
    const upward = [axes.y.at(low), axes.y.at(high)].sort((a, b) => a - b);
    if (![...across, ...upward].every(Number.isFinite)) return;
    const box = {
      x: across[0].toFixed(1), y: upward[0].toFixed(1),
      width: Math.max(0.4, across[1] - across[0]).toFixed(1), height: Math.max(0.4, upward[1] - upward[0]).toFixed(1),
    };
    element(layer, "rect", {...box, class: "bar", "stroke-width": marker.line?.width || 0},
      {fill: entry(marker.color, place) || "var(--series-0)", stroke: marker.line?.color || "none"});
    hatched(layer, box, marker.pattern?.shape);
  });
  if (trace.orientation !== "h") {
    const points = spans.map((span, place) => (span === null ? null : [axes.x.at((span[0] + span[1]) / 2), axes.y.at(trace.y[place])]));
    drawWhiskers(layer, trace, points, axes, trace.error_y, true);
  }
};

// Colours stay names of the style sheet, so a cell is a mix that the browser makes anew when the theme changes.
const mixed = (scale, share) => {
  const upper = Math.max(1, scale.findIndex(([stop]) => stop >= share));
  const [[from, one], [to, other]] = [scale[upper - 1], scale[upper]];
  return `color-mix(in srgb, ${other} ${(100 * Math.min(1, Math.max(0, (share - from) / (to - from)))).toFixed(0)}%, ${one})`;
};

const drawCells = (layer, trace, axes) => {
  const gap = (trace.xgap || 0) / 2;
  const edges = (values, axis) => {
    const middle = listed(values).map(Number);
    const half = middle.length > 1 ? (middle[1] - middle[0]) / 2 : 0.5;
    return middle.map((value, place) => {
      const before = place ? (value - middle[place - 1]) / 2 : half;
      const after = place + 1 < middle.length ? (middle[place + 1] - value) / 2 : before;
      return [axis.at(value - before), axis.at(value + after)].sort((a, b) => a - b);
    });
  };
  const [across, down] = [edges(trace.x, axes.x), edges(trace.y, axes.y)];
  trace.z.forEach((row, line) => row.forEach((value, place) => {
    const [[left, right], [top, bottom]] = [across[place], down[line]];
    if (value !== null && Number.isFinite(value)) {
      element(layer, "rect", {
        x: (left + gap).toFixed(1), y: (top + gap).toFixed(1), class: "cell",
        width: Math.max(0.5, right - left - 2 * gap).toFixed(1), height: Math.max(0.5, bottom - top - 2 * gap).toFixed(1),
      }, {fill: mixed(trace.colorscale, (value - trace.zmin) / (trace.zmax - trace.zmin))});
    }
    const text = trace.texttemplate ? plain(trace.text[line][place]) : "";
    if (text && textWidth(text, 11) < right - left - 2 && bottom - top > 12) {
      element(layer, "text", {x: (left + right) / 2, y: (top + bottom) / 2 + 4, "text-anchor": "middle", "font-size": 11},
        {fill: "var(--ink)"}, text);
    }
  }));
};

const ruler = document.createElement("canvas").getContext("2d");
const FAMILY = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";
const textWidth = (text, size) => {
  ruler.font = `${size}px ${FAMILY}`;
  return ruler.measureText(text).width;
};
const shortened = (text, room, size) => {
  if (textWidth(text, size) <= room) return text;
  let kept = text;
  while (kept.length > 1 && textWidth(`${kept}\u2026`, size) > room) kept = kept.slice(0, -1);
  return `${kept.trimEnd()}\u2026`;
};

// Words beside marks: each takes the first place near its mark that is free, with a thread where it had to move away.
const placeNotes = (layer, notes, frame, size) => {
  const taken = notes.map(({point}) => [point[0] - 6, point[1] - 6, point[0] + 6, point[1] + 6]);
  const overlap = (a, b) => Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0])) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  notes.forEach(({point, text, position}, place) => {
    const words = shortened(text, 0.6 * (frame[2] - frame[0]), size);
    const [width, height] = [textWidth(words, size), size + 3];
    const sides = position.includes("left") ? [-1, 1] : [1, -1];
    const choices = position.includes("center") && !position.startsWith("middle") ? [[-width / 2, -9]] : [];
    for (const rise of [0, -1, 1, -2, 2, -3, 3, -4, 4]) {
      for (const side of sides) choices.push([side > 0 ? 10 : -10 - width, rise * (height + 1)]);
    }
    const boxes = choices.map(([dx, dy]) => [point[0] + dx, point[1] + dy - height / 2, point[0] + dx + width, point[1] + dy + height / 2]);
    const badness = (box) => {
      const outside = Math.max(0, frame[0] - box[0]) + Math.max(0, box[2] - frame[2]) + Math.max(0, frame[1] - box[1]) + Math.max(0, box[3] - frame[3]);
      return 40 * outside + taken.reduce((sum, other, owner) => sum + (owner === place ? 0 : overlap(box, other)), 0);
    };
    const scores = boxes.map(badness);
    const best = scores.findIndex((score) => score < 1) < 0 ? scores.indexOf(Math.min(...scores)) : scores.findIndex((score) => score < 1);
    const box = boxes[best];
    taken.push(box);
    if (Math.abs(choices[best][1]) > height) {
      const near = box[0] > point[0] ? box[0] - 2 : box[2] + 2;
      element(layer, "path", {d: `M${point[0]} ${point[1]}L${near} ${(box[1] + box[3]) / 2}`, "stroke-width": 0.7}, {stroke: "var(--axis)", fill: "none"});
    }
    const made = element(layer, "text", {x: box[0].toFixed(1), y: (box[3] - 4).toFixed(1), class: "note"}, {fill: "var(--ink)"}, words);
    if (words !== text) element(made, "title", {}, {}, text);
  });
};
