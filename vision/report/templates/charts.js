// Charts: hover or arrow keys read a point, a drag zooms, a double click shows all again.
// vision/report/charts.py says what a chart is made of.

const SVG = "http://www.w3.org/2000/svg";
const DASHES = { dashed: "5 4", dotted: "1 4" };

function draw(tag, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return element;
}

// Round steps of 1, 2 or 5 times a power of ten, about `count` of them.
function findTicks(low, high, count, isWhole = false) {
  const rough = Math.max((high - low) / count || 1, isWhole ? 1 : 0);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) ticks.push(Number((k * step).toPrecision(12)));
  return ticks;
}

class Chart {
  constructor(figure) {
    this.data = readData(figure);
    this.name = figure.dataset.name;
    this.view = 0;
    this.hidden = new Set();
    this.isShare = false;
    this.zoom = null;
    this.cursor = null;
    this.plot = make("div", { class: "plot" });
    this.svg = draw("svg", { role: "img", tabindex: 0, "aria-label": `${this.name}; arrow keys read the points, the values stand below` });
    const images = this.data.sheet ? { class: "tip images", "data-sheet": this.data.name } : { class: "tip" };
    this.tip = make("div", { ...images, "aria-live": "polite", hidden: "" });
    this.plot.append(this.svg, this.tip);
    this.values = make("details", {}, make("summary", {}, "Values"));
    this.values.addEventListener("toggle", () => this.listValues());
    figure.append(this.makeTools(), this.plot, this.values);
    this.listen();
    new ResizeObserver(() => this.render()).observe(this.plot);
  }

  get x() { return this.data.views[this.view].x ?? this.data.x; }

  get y() { return this.data.views[this.view].y ?? this.data.y; }

  get series() {
    const { series } = this.data.views[this.view];
    return series.filter(({ name, kind }) => !this.hidden.has(name) && !this.hidden.has(kind));
  }

  makeTools() {
    const tools = make("div", { class: "tools" });
    const { views } = this.data;
    const change = (act) => (index) => { act(index); this.zoom = this.cursor = null; this.fillSwitches(); this.render(); this.listValues(); };
    if (views.length > 1) tools.append(makeChoice("What is shown", views.map(({ name }) => name), change((index) => { this.view = index; })));
    if (this.data.total) tools.append(makeChoice("Counts or shares", ["counts", "shares"], change((index) => { this.isShare = index === 1; })));
    this.switches = make("span");
    this.fillSwitches();
    tools.append(this.switches);
    this.whole = make("button", { type: "button", hidden: "" }, "show all");
    this.whole.addEventListener("click", () => { this.zoom = null; this.render(); });
    tools.append(this.whole);
    return tools;
  }

  // Buttons for what the view shows: its models, or whatever its series are, and their kinds.
  fillSwitches() {
    this.switches.replaceChildren();
    const all = this.data.views[this.view].series;
    const names = new Map(all.filter(({ kind, name }) => kind !== name).map((line) => [line.name, line]));
    const kinds = new Map(all.filter(({ kind }) => kind).map((line) => [line.kind, line]));
    for (const [label, group, isKind] of [["Models", names, false], ["Kinds", kinds, true]]) {
      if (group.size + (isKind ? 0 : kinds.size) < 2 || (this.data.mark === "bar" && !isKind)) continue;
      const buttons = [...group].map(([name, line]) => this.makeSwitch(name, isKind && names.size > 1 ? { ...line, colour: -1 } : line));
      this.switches.append(make("span", { role: "group", "aria-label": label }, ...buttons));
    }
  }

  makeSwitch(name, line) {
    const sign = draw("svg", { viewBox: "0 0 28 14", "aria-hidden": "true" });
    const colour = findColour(line);
    if (this.data.mark === "line") sign.append(draw("path", { d: "M0 7H28", stroke: colour, "stroke-width": 2.5, "stroke-dasharray": findDash(line) }));
    else sign.append(draw("circle", { cx: 14, cy: 7, r: 5, stroke: colour, "stroke-width": 2, fill: line.hollow ? "none" : colour }));
    const button = make("button", { type: "button", "aria-pressed": !this.hidden.has(name) }, sign, name);
    button.addEventListener("click", () => {
      const isHidden = !this.hidden.delete(name);
      if (isHidden) this.hidden.add(name);
      button.setAttribute("aria-pressed", !isHidden);
      this.cursor = null;
      this.render();
      this.listValues();
    });
    return button;
  }

  // The points as they are shown: stacked bars stand on each other, shares are of the total.
  find() {
    const scale = this.isShare ? 100 / this.data.total : 1;
    const base = new Map();
    return this.series.map((line) => {
      const points = line.points.map(([x, y, ...rest]) => {
        if (this.data.mark === "image") return { x, y, from: 0, tile: rest[0] };
        const [low, high] = rest;
        const from = base.get(x) ?? 0;
        if (this.data.mark === "bar") base.set(x, from + y);
        return { x, y: y * scale, low, high, from: from * scale };
      });
      return { line, points };
    });
  }

  findRange(axis, key) {
    if (axis.names) return [-0.6, axis.names.length - 0.4];
    const values = this.shown.flatMap(({ points }) => points.flatMap((point) => (key === "x" ? [point.x, point.low ?? point.x, point.high ?? point.x] : [point.from + point.y])));
    const finite = values.filter(Number.isFinite);
    let [low, high] = finite.length ? [Math.min(...finite), Math.max(...finite)] : [0, 1];
    const room = 0.05 * (high - low || 1);
    return [axis.min ?? low - room, axis.max ?? high + room];
  }

  render() {
    const width = this.plot.clientWidth;
    if (!width) return;
    const { x, y } = this;
    const { mark } = this.data;
    this.shown = this.find();
    const names = y.names?.map((name) => shorten(name, width < 500 ? 16 : 26));
    const left = names ? Math.min(0.4 * width, 14 + 6.6 * Math.max(...names.map((name) => name.length))) : 52;
    const height = names ? 52 + Math.max(names.length * 20, 110) : Math.min(380, 0.7 * width);
    this.box = { left, right: width - 12, top: 8, bottom: height - 44 };
    this.range = this.zoom ?? { x: this.findRange(x, "x"), y: this.findRange(y, "y") };
    this.whole.hidden = !this.zoom;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const inside = draw("g", { class: "cut" });
    const clip = draw("svg", { x: left, y: this.box.top, width: this.box.right - left, height: this.box.bottom - this.box.top, viewBox: `${left} ${this.box.top} ${this.box.right - left} ${this.box.bottom - this.box.top}`, style: "width: auto" });
    clip.append(inside);
    this.svg.replaceChildren(...this.drawAxes(names), clip);
    const inOrder = this.shown.toSorted((a, b) => Boolean(b.line.hollow) - Boolean(a.line.hollow)); // dots lie on rings
    for (const { line, points } of inOrder) this[mark === "bar" ? "drawBars" : "drawLine"](inside, line, points);
    this.ring = draw("circle", { r: 8, fill: "none", stroke: "var(--ink)", "stroke-width": 2, visibility: "hidden" });
    this.svg.append(this.ring);
    this.tip.hidden = true;
  }

  px(value) {
    const [low, high] = this.range.x;
    return this.box.left + ((value - low) / (high - low)) * (this.box.right - this.box.left);
  }

  py(value) {
    const [low, high] = this.range.y;
    const share = (value - low) / (high - low);
    const { top, bottom } = this.box;
    return this.y.names ? top + share * (bottom - top) : bottom - share * (bottom - top);
  }

  drawAxes(names) {
    const { left, right, top, bottom } = this.box;
    const label = this.isShare ? "% of the test images" : this.y.label;
    const parts = [
      draw("text", { x: (left + right) / 2, y: bottom + 36, "text-anchor": "middle" }, this.x.label),
      draw("text", { transform: `translate(13 ${(top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, label),
    ];
    const ticks = (axis, ...range) => (axis.bare ? [] : findTicks(...range));
    for (const tick of ticks(this.x, ...this.range.x, (right - left) / 50, this.x.whole)) {
      const x = this.px(tick);
      parts.push(draw("path", { class: "grid", d: `M${x} ${top}V${bottom}` }));
      parts.push(draw("text", { x, y: bottom + 17, "text-anchor": "middle" }, tick.toLocaleString("en")));
    }
    const rows = names ? names.map((_, row) => row) : ticks(this.y, ...this.range.y, (bottom - top) / 40);
    for (const tick of rows) {
      const y = this.py(tick);
      if (y < top - 1 || y > bottom + 1) continue;
      parts.push(draw("path", { class: "grid", d: `M${left} ${y}H${right}` }));
      parts.push(draw("text", { x: left - 7, y: y + 4, "text-anchor": "end", class: names ? "name" : "" }, names ? names[tick] : tick.toLocaleString("en")));
    }
    return parts;
  }

  drawLine(inside, line, points) {
    const colour = findColour(line);
    const isLine = this.data.mark === "line";
    const isImage = this.data.mark === "image";
    if (isLine) {
      const d = points.map(({ x, y }, k) => `${k ? "L" : "M"}${this.px(x)} ${this.py(y)}`).join("");
      inside.append(draw("path", { d, fill: "none", stroke: colour, "stroke-width": line.dotted ? 1.5 : 2, "stroke-dasharray": findDash(line) }));
    }
    if (line.plain || line.dotted) return;
    for (const { x, y, low, high } of points) {
      if (low !== undefined) inside.append(draw("path", { d: `M${this.px(low)} ${this.py(y)}H${this.px(high)}`, stroke: colour, "stroke-width": 2.5 }));
      inside.append(draw("circle", { cx: this.px(x), cy: this.py(y), r: isLine || isImage ? 3 : line.hollow ? 6.5 : 4, stroke: colour, "stroke-width": 2, fill: line.hollow ? "var(--paper)" : colour }));
    }
  }

  drawBars(inside, line, points) {
    const half = this.x.width / 2;
    for (const { x, y, from } of points) {
      const [top, bottom] = [this.py(from + y), this.py(from)];
      inside.append(draw("rect", { x: this.px(x - half) + 0.5, width: Math.max(1, this.px(x + half) - this.px(x - half) - 1), y: top, height: bottom - top, fill: findColour(line) }));
    }
  }

  listen() {
    const at = (event) => {
      const place = this.svg.getBoundingClientRect();
      return { x: event.clientX - place.left, y: event.clientY - place.top };
    };
    let start = null;
    this.svg.addEventListener("pointerdown", (event) => { if (event.pointerType === "mouse") start = at(event); });
    this.svg.addEventListener("pointermove", (event) => { const place = at(event); this.drag(start, place); if (!start) this.pick(place); });
    this.svg.addEventListener("pointerup", (event) => { this.zoomTo(start, at(event)); start = null; this.pick(at(event)); });
    this.svg.addEventListener("pointerleave", () => { start = null; this.drag(null); this.tip.hidden = true; this.ring?.setAttribute("visibility", "hidden"); });
    this.svg.addEventListener("dblclick", () => { this.zoom = null; this.render(); });
    this.svg.addEventListener("keydown", (event) => this.step(event));
  }

  drag(start, end) {
    this.band?.remove();
    if (!start) return;
    const sizes = { x: Math.min(start.x, end.x), y: Math.min(start.y, end.y), width: Math.abs(start.x - end.x), height: Math.abs(start.y - end.y) };
    this.band = draw("rect", { class: "band", ...sizes });
    this.svg.append(this.band);
  }

  zoomTo(start, end) {
    this.drag(null);
    if (!start || Math.abs(start.x - end.x) < 12 || Math.abs(start.y - end.y) < 12) return;
    const { left, right, top, bottom } = this.box;
    const cut = (low, high, [from, to]) => [low, high].map((share) => from + Math.min(1, Math.max(0, share)) * (to - from));
    const xs = [start.x, end.x].sort((a, b) => a - b).map((x) => (x - left) / (right - left));
    const ys = [start.y, end.y].map((y) => (this.y.names ? y - top : bottom - y) / (bottom - top)).sort((a, b) => a - b);
    this.zoom = { x: cut(...xs, this.range.x), y: cut(...ys, this.range.y) };
    this.render();
  }

  pick(place) {
    let best = { distance: 40 };
    this.shown.forEach(({ line, points }, number) => points.forEach((point, index) => {
      if (line.dotted) return;
      const distance = Math.hypot(this.px(point.x) - place.x, this.py(point.from + point.y) - place.y);
      if (distance < best.distance) best = { distance, number, index };
    }));
    if (best.number === undefined) this.tip.hidden = true;
    else this.show(best.number, best.index);
  }

  step(event) {
    const move = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (!move || !this.shown.length) return;
    event.preventDefault();
    const [number, index] = this.cursor ?? [0, -move[1]];
    const line = (number + move[0] + this.shown.length) % this.shown.length;
    const last = this.shown[line].points.length - 1;
    if (last >= 0) this.show(line, Math.max(0, Math.min(last, index + move[1])));
  }

  show(number, index) {
    this.cursor = [number, index];
    const { line, points } = this.shown[number];
    const [x, y] = [this.px(points[index].x), this.py(points[index].from + points[index].y)];
    for (const [name, value] of Object.entries({ cx: x, cy: y, visibility: "visible" })) this.ring.setAttribute(name, value);
    this.tip.replaceChildren(...this.picture(points[index]), this.describe(line, points[index]));
    this.tip.hidden = false;
    const room = this.plot.clientWidth - this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(0, Math.min(room, x - this.tip.offsetWidth / 2))}px`;
    this.tip.style.top = `${y > 50 ? y - this.tip.offsetHeight - 12 : y + 14}px`;
  }

  picture({ tile }) {
    if (tile === undefined) return [];
    const image = drawTile(tile, this.data.sheet);
    image.setAttribute("aria-hidden", "true");
    return [image, make("br")];
  }

  describe({ name, kind }, { x, y, low, high, tile }) {
    if (tile !== undefined) return this.data.sheet?.notes[tile] ?? name;
    const who = kind && kind !== name ? `${name}, ${kind}` : name;
    const write = (value) => value.toLocaleString("en", { maximumFractionDigits: 3 });
    if (this.y.names) {
      const bounds = low === undefined ? "" : ` [${write(low)}, ${write(high)}]`;
      return `${this.y.names[y]}, ${who}: ${write(x)} %${bounds}`;
    }
    return `${who}: ${write(y)}${this.isShare ? " %" : ""} at ${this.x.label.replace(/ \(.*/, "")} ${write(x)}`;
  }

  listValues() {
    this.values.querySelector("div")?.remove();
    if (!this.values.open) return;
    this.shown = this.find();
    const rows = this.shown.flatMap(({ line, points }) => points.map((point) => make("li", {}, this.describe(line, point))));
    const list = make("div", { class: "scroll tall", tabindex: 0, role: "region", "aria-label": `Values: ${this.name}` }, make("ul", {}, ...rows));
    list.prepend(make("a", { href: writeAddress(this.listRows()), download: `${this.name}.csv` }, "all of it as CSV"));
    this.values.append(list);
  }

  // Everything that the chart can show: a row for each point of each view.
  listRows() {
    const isImage = this.data.mark === "image";
    const rows = this.data.views.flatMap(({ name, series, x = this.data.x, y = this.data.y }) => series.flatMap((line) => line.points.map((point) => {
      const [across, up, low, high] = point;
      const rest = isImage ? [this.data.sheet?.notes[low] ?? ""] : [low ?? "", high ?? ""];
      return [name, line.name, line.kind, x.label, across, y.label, y.names?.[up] ?? up, ...rest];
    })));
    return [["view", "series", "kind", "across", "x", "up", "y", ...(isImage ? ["image"] : ["low", "high"])], ...rows];
  }
}

function findColour({ colour }) {
  return colour < 0 ? "var(--soft)" : `var(--c${colour % 7})`;
}

function findDash(line) {
  return DASHES[Object.keys(DASHES).find((look) => line[look])] ?? "none";
}

function writeAddress(rows) {
  const quote = (value) => (/[",\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value);
  const text = rows.map((row) => row.map(quote).join(",")).join("\n");
  return URL.createObjectURL(new Blob([text], { type: "text/csv" }));
}

// The middle goes: names often differ at their ends.
function shorten(name, width) {
  const half = Math.floor(width / 2);
  return name.length <= width ? name : `${name.slice(0, half)}…${name.slice(half + 1 - width)}`;
}

// What is off the screen is drawn when it comes into view, or before all is printed.
const drawn = [...document.querySelectorAll("figure.chart")].map((figure) => new Chart(figure));
addEventListener("beforeprint", () => { for (const each of drawn) each.render(); });
