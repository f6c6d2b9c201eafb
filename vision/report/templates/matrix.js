// Confusion matrices and the difference of two: a table whose cells can be walked through by
// arrow keys, or, of more classes than a table can show, a canvas that can be zoomed into.

const MAX_TABLE = 40; // classes
const VALUES = ["images", "% of the true class", "% of the predicted class"];
const counts = new Intl.NumberFormat("en");
const matrices = new Map(); // name -> data, with `cells` as Int32Array, row by row

function readCells(data) {
  const n = data.classes.length;
  const cells = new Int32Array(n * n);
  data.rows.forEach((row, i) => {
    for (let k = 0; k < row.length; k += 2) cells[i * n + row[k]] = row[k + 1];
  });
  const rows = new Int32Array(n);
  const columns = new Int32Array(n);
  cells.forEach((count, at) => { rows[Math.floor(at / n)] += count; columns[at % n] += count; });
  return { ...data, n, cells, totals: [null, rows, columns] };
}

// What a matrix shows of each cell: a value, its words, and how good or bad, in -1..1.
class Counts {
  constructor(data) {
    this.data = data;
    this.value = 0;
  }

  at(i, j) { return this.data.cells[i * this.data.n + j]; }

  share(i, j, value = this.value || 1) {
    return this.at(i, j) / (this.data.totals[value][value === 1 ? i : j] || 1);
  }

  tint(i, j) { return Math.sqrt(this.share(i, j)) * (i === j ? 1 : -1); }

  write(i, j) {
    const count = this.at(i, j);
    if (!count) return "";
    return this.value ? (100 * this.share(i, j)).toFixed(1) : counts.format(count);
  }

  describe(i, j) {
    const count = this.at(i, j);
    const { classes } = this.data;
    const share = count ? ` (${(100 * this.share(i, j)).toFixed(1)} ${VALUES[this.value || 1]})` : "";
    return `true ${classes[i]}, predicted ${classes[j]}: ${counts.format(count)} ${count === 1 ? "image" : "images"}${share}`;
  }
}

class Difference extends Counts {
  constructor(first, second) {
    super(first);
    this.second = new Counts(second);
    this.largest = first.cells.reduce((most, count, at) => Math.max(most, Math.abs(count - second.cells[at])), 1);
  }

  change(i, j) { return this.at(i, j) - this.second.at(i, j); }

  // More is better on the diagonal, and worse beside it.
  tint(i, j) {
    const change = this.change(i, j) * (i === j ? 1 : -1);
    return Math.sign(change) * Math.sqrt(Math.abs(change) / this.largest);
  }

  write(i, j) {
    const change = this.value ? 100 * (this.share(i, j) - this.second.share(i, j, this.value)) : this.change(i, j);
    if (!change) return "";
    return `${change > 0 ? "+" : "\u2212"}${this.value ? Math.abs(change).toFixed(1) : counts.format(Math.abs(change))}`;
  }

  describe(i, j) {
    const { classes } = this.data;
    const change = this.change(i, j);
    const size = `${counts.format(Math.abs(change))} ${Math.abs(change) === 1 ? "image" : "images"}`;
    const verdict = (change > 0) === (i === j) ? "better" : "worse";
    const words = change ? `${size} ${change > 0 ? "more" : "fewer"} with ${this.data.label}, which is ${verdict}` : "no difference";
    return `true ${classes[i]}, predicted ${classes[j]}: ${words}`;
  }
}

class Table {
  constructor(panel) {
    this.panel = panel;
    this.element = make("div", { class: "scroll", "data-name": panel.name });
    stops.observe(this.element);
  }

  render() {
    const { classes } = this.panel.shown.data;
    const every = classes.map((_, index) => index);
    const heads = classes.map((name) => make("th", { scope: "col", class: "slanted" }, make("span", {}, name)));
    const table = make("table", { role: "grid", "aria-label": this.panel.name },
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "true \\ predicted"), ...heads)),
      make("tbody", {}, ...every.map((i) => make("tr", {}, make("th", { scope: "row" }, classes[i]), ...every.map((j) => this.makeCell(i, j))))));
    table.addEventListener("click", ({ target }) => { if (target.dataset.i) this.choose(target); });
    table.addEventListener("keydown", (event) => this.walk(event));
    this.element.replaceChildren(table);
    this.grid = [...table.tBodies[0].rows].map((row) => [...row.cells].slice(1));
    this.grid[0][0].tabIndex = 0;
  }

  makeCell(i, j) {
    const { shown } = this.panel;
    const tint = shown.tint(i, j);
    const facts = { "data-i": i, "data-j": j, tabindex: -1, "aria-selected": "false", "aria-label": shown.describe(i, j), title: shown.describe(i, j) };
    return make("td", { class: tint < 0 ? "bad" : "good", style: `--rate: ${Math.abs(tint).toFixed(3)}`, ...facts }, shown.write(i, j));
  }

  walk(event) {
    if (!event.target.dataset.i) return;
    const [i, j] = [Number(event.target.dataset.i), Number(event.target.dataset.j)];
    const last = this.grid.length - 1;
    const moves = { ArrowDown: [i + 1, j], ArrowUp: [i - 1, j], ArrowRight: [i, j + 1], ArrowLeft: [i, j - 1], Home: [i, 0], End: [i, last], Enter: [i, j], " ": [i, j] };
    const place = moves[event.key];
    if (!place) return;
    event.preventDefault();
    const next = this.grid[Math.min(last, Math.max(0, place[0]))][Math.min(last, Math.max(0, place[1]))];
    this.stop?.setAttribute("tabindex", -1);
    next.focus();
    if (next === event.target) this.choose(next);
  }

  choose(cell) {
    for (const other of this.element.querySelectorAll('[aria-selected="true"], [tabindex="0"]')) {
      other.setAttribute("aria-selected", "false");
      other.tabIndex = -1;
    }
    cell.setAttribute("aria-selected", "true");
    cell.tabIndex = 0;
    this.panel.choose(Number(cell.dataset.i), Number(cell.dataset.j));
  }
}

class Canvas {
  constructor(panel) {
    this.panel = panel;
    this.element = make("canvas", { role: "img", tabindex: 0, "aria-label": `${panel.name}; arrow keys move from cell to cell, plus and minus zoom` });
    this.isSorted = true;
    const { n } = panel.shown.data;
    this.window = [0, 0, n];
    this.cursor = [0, 0];
    this.listen();
    new ResizeObserver(() => this.render()).observe(this.element);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.render());
  }

  makeTools() {
    const zooms = [["zoom in", 0.5], ["zoom out", 2], ["show all", Infinity]].map(([name, factor]) => {
      const button = make("button", { type: "button" }, name);
      button.addEventListener("click", () => this.zoom(factor));
      return button;
    });
    const order = makeChoice("Order", ["similar classes together", "classes as listed"], (index) => {
      this.isSorted = index === 0;
      this.zoom(Infinity);
    });
    return [order, make("span", { role: "group", "aria-label": "Zoom" }, ...zooms)];
  }

  get order() {
    const { order, n } = this.panel.shown.data;
    return this.isSorted ? order : Array.from({ length: n }, (_, index) => index);
  }

  render() {
    const width = this.element.clientWidth;
    if (!width) return;
    const names = width < 500 ? 70 : 130;
    const side = width - names - 8;
    const scale = devicePixelRatio;
    this.element.width = width * scale;
    this.element.height = (side + names) * scale;
    this.element.style.height = `${side + names}px`;
    this.box = { left: names, top: 0, side };
    const pen = this.element.getContext("2d");
    pen.scale(scale, scale);
    const style = getComputedStyle(document.documentElement);
    const colours = Object.fromEntries(["good", "bad", "ink", "tint", "soft"].map((name) => [name, style.getPropertyValue(`--${name}`)]));
    this.drawCells(pen, colours);
    this.drawNames(pen, colours);
  }

  drawCells(pen, colours) {
    const { left, side } = this.box;
    const [x0, y0, size] = this.window;
    const cell = side / size;
    const drawn = Math.max(cell - (cell > 8 ? 1 : 0), 1.5);
    const { order } = this;
    pen.fillStyle = colours.tint;
    pen.fillRect(left, 0, side, side);
    for (let row = Math.floor(y0); row < Math.min(order.length, y0 + size); row++) {
      for (let column = Math.floor(x0); column < Math.min(order.length, x0 + size); column++) {
        const tint = this.panel.shown.tint(order[row], order[column]);
        if (!tint) continue;
        pen.globalAlpha = 0.15 + 0.85 * Math.min(1, Math.abs(tint));
        pen.fillStyle = tint > 0 ? colours.good : colours.bad;
        pen.fillRect(left + (column - x0) * cell, (row - y0) * cell, drawn, drawn);
      }
    }
    pen.globalAlpha = 1;
    pen.strokeStyle = colours.ink;
    pen.lineWidth = 2;
    const ring = Math.max(cell, 8);
    const [x, y] = [left + (this.cursor[1] - x0 + 0.5) * cell, (this.cursor[0] - y0 + 0.5) * cell];
    if (x > left && x < left + side && y > 0 && y < side) pen.strokeRect(x - ring / 2, y - ring / 2, ring, ring);
  }

  drawNames(pen, colours) {
    const { left, side } = this.box;
    const [x0, y0, size] = this.window;
    const cell = side / size;
    const step = Math.max(1, Math.ceil(13 / cell));
    const { classes } = this.panel.shown.data;
    pen.fillStyle = colours.soft;
    pen.font = "11px system-ui, sans-serif";
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (let k = 0; k < size; k += step) {
      const [row, column] = [Math.floor(y0) + k, Math.floor(x0) + k];
      const width = Math.floor(left / 6.5);
      const [at, to] = [(row - y0 + 0.5) * cell, left + (column - x0 + 0.5) * cell];
      if (row < classes.length && at > 0 && at < side) pen.fillText(shorten(classes[this.order[row]], width), left - 5, Math.max(7, at));
      if (column >= classes.length || to < left || to > left + side) continue;
      pen.save();
      pen.translate(to, side + 5);
      pen.rotate(-Math.PI / 2);
      pen.fillText(shorten(classes[this.order[column]], width), 0, 0);
      pen.restore();
    }
  }

  locate(event) {
    const place = this.element.getBoundingClientRect();
    const { left, side } = this.box;
    const [x0, y0, size] = this.window;
    const column = Math.floor(x0 + ((event.clientX - place.left - left) / side) * size);
    const row = Math.floor(y0 + ((event.clientY - place.top) / side) * size);
    const isInside = [row, column].every((k) => k >= 0 && k < this.panel.shown.data.n);
    return isInside ? this.snap(row, column) : null;
  }

  // Where cells are too small to be met, the strongest of those around is meant.
  snap(row, column) {
    const reach = Math.floor((3 * this.window[2]) / this.box.side);
    let best = [row, column];
    let most = -1;
    for (let i = Math.max(0, row - reach); i <= Math.min(this.order.length - 1, row + reach); i++) {
      for (let j = Math.max(0, column - reach); j <= Math.min(this.order.length - 1, column + reach); j++) {
        const tint = Math.abs(this.panel.shown.tint(this.order[i], this.order[j]));
        if (tint > most) { most = tint; best = [i, j]; }
      }
    }
    return best;
  }

  listen() {
    let start = null;
    const { element } = this;
    element.addEventListener("pointerdown", (event) => { start = event; });
    element.addEventListener("pointermove", (event) => {
      const cell = this.locate(event);
      if (cell) this.panel.say(this.order[cell[0]], this.order[cell[1]]);
    });
    element.addEventListener("pointerup", (event) => {
      const isDrag = start && Math.hypot(start.clientX - event.clientX, start.clientY - event.clientY) > 12;
      const [from, to] = [start && this.locate(start), this.locate(event)];
      start = null;
      if (isDrag && from && to) this.frame(from, to);
      else if (to) this.choose(to);
    });
    element.addEventListener("dblclick", () => this.zoom(Infinity));
    element.addEventListener("keydown", (event) => this.walk(event));
  }

  frame(from, to) {
    const size = Math.max(4, Math.abs(from[0] - to[0]) + 1, Math.abs(from[1] - to[1]) + 1);
    this.move(Math.min(from[1], to[1]), Math.min(from[0], to[0]), size);
  }

  zoom(factor) {
    const { n } = this.panel.shown.data;
    const size = Math.max(4, Math.min(n, this.window[2] * factor));
    this.move(this.cursor[1] + 0.5 - size / 2, this.cursor[0] + 0.5 - size / 2, size);
  }

  move(x, y, size) {
    const { n } = this.panel.shown.data;
    this.window = [...[x, y].map((from) => Math.max(0, Math.min(n - size, from))), size];
    this.render();
  }

  walk(event) {
    const [i, j] = this.cursor;
    const place = { ArrowDown: [i + 1, j], ArrowUp: [i - 1, j], ArrowRight: [i, j + 1], ArrowLeft: [i, j - 1] }[event.key];
    const factor = { "+": 0.5, "-": 2 }[event.key];
    if (!place && !factor) return;
    event.preventDefault();
    if (factor) this.zoom(factor);
    else this.choose(place.map((k) => Math.max(0, Math.min(this.order.length - 1, k))));
  }

  choose(cell) {
    this.cursor = cell;
    const [x, y, size] = this.window;
    const isSeen = cell[0] >= y && cell[0] < y + size && cell[1] >= x && cell[1] < x + size;
    if (isSeen) this.render();
    else this.zoom(1);
    this.panel.choose(this.order[cell[0]], this.order[cell[1]]);
  }
}

// A figure: what is shown, how, and the images of the cell that is chosen.
class Panel {
  constructor(figure) {
    const data = readData(figure);
    this.name = figure.dataset.name;
    this.value = 0;
    this.chosen = data.minus;
    this.said = make("p", { class: "said", "aria-live": "polite" });
    this.images = make("div", { class: "images", ...(data.sheet && { "data-sheet": data.name }) });
    if (!this.chosen) matrices.set(data.name, readCells(data));
    this.own = matrices.get(data.name);
    this.update(false);
    const isTable = this.shown.data.n <= MAX_TABLE;
    this.view = new (isTable ? Table : Canvas)(this);
    const tools = make("div", { class: "tools" }, ...(this.chosen ? this.makeMenus() : []));
    tools.append(makeChoice("What is counted", VALUES, (index) => { this.value = index; this.update(); }));
    if (!isTable) tools.append(...this.view.makeTools());
    figure.append(tools, this.view.element, this.said, this.images);
    if (isTable) this.view.render();
    else drawn.push(this.view);
  }

  makeMenus() {
    return this.chosen.map((name, side) => {
      const menu = make("select", { "aria-label": side ? "Model that is subtracted" : "Model" }, ...[...matrices].map(([key, { label }]) => make("option", { value: key, ...(key === name && { selected: "" }) }, label)));
      menu.addEventListener("change", () => { this.chosen[side] = menu.value; this.update(); });
      return make("span", {}, side ? "minus" : "", menu);
    });
  }

  update(isSeen = true) {
    this.shown = this.chosen ? new Difference(...this.chosen.map((name) => matrices.get(name))) : new Counts(this.own);
    this.shown.value = this.value;
    if (isSeen) this.view.render();
  }

  say(i, j) { this.said.textContent = this.shown.describe(i, j); }

  choose(i, j) {
    this.say(i, j);
    const { sheet } = this.own ?? {};
    const tiles = sheet?.tiles[`${i},${j}`] ?? [];
    if (tiles.length) this.said.textContent += i === j ? `; the least sure ${tiles.length}:` : `; the surest ${tiles.length}:`;
    this.images.replaceChildren(...tiles.map((tile) => drawTile(tile, sheet)));
  }
}

function drawTile(tile, { columns, rows, notes }) {
  const side = 72;
  const image = make("span", { role: "img", "aria-label": notes[tile], title: notes[tile] });
  image.style.backgroundSize = `${columns * side}px ${rows * side}px`;
  image.style.backgroundPosition = `${-(tile % columns) * side}px ${-Math.floor(tile / columns) * side}px`;
  return image;
}

// Matrices first: a difference reads them.
const figures = [...document.querySelectorAll("figure.cells")];
const isDifference = (figure) => figure.classList.contains("difference");
for (const figure of figures.filter((each) => !isDifference(each))) new Panel(figure);
for (const figure of figures.filter(isDifference)) new Panel(figure);
