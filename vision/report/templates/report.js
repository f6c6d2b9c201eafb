"use strict";

// A cell of a confusion matrix shows its images, which are tiles of one sheet.
for (const button of document.querySelectorAll(".matrix button")) {
  button.addEventListener("click", () => {
    const figure = button.closest("figure");
    const panel = figure.querySelector(".images");
    for (const other of figure.querySelectorAll("[aria-pressed=true]")) {
      other.setAttribute("aria-pressed", "false");
    }
    button.setAttribute("aria-pressed", "true");
    const tiles = button.dataset.tiles.split(" ").map(Number);
    const title = document.createElement("p");
    const isRight = button.parentElement.classList.contains("right");
    const which = isRight ? "the least sure" : "the surest";
    title.textContent = `${button.getAttribute("aria-label")}; ${which} ${tiles.length}:`;
    panel.replaceChildren(title, ...tiles.map((tile) => drawTile(tile, panel.dataset)));
  });
}

function drawTile(tile, { columns, rows }) {
  const image = document.createElement("span");
  const side = 72;
  const x = tile % columns;
  const y = Math.floor(tile / columns);
  image.style.backgroundSize = `${columns * side}px ${rows * side}px`;
  image.style.backgroundPosition = `${-x * side}px ${-y * side}px`;
  return image;
}

// A table sorts by a column when its heading is pressed; averages stay at the end.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const movable = original.slice(0, original.length - Number(table.dataset.fixed));
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const isDescending = heading.getAttribute("aria-sort") !== "descending";
      for (const other of heading.parentElement.cells) {
        other.removeAttribute("aria-sort");
      }
      heading.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
      const sign = isDescending ? -1 : 1;
      movable.sort((a, b) => sign * compareCells(a.cells[column], b.cells[column]));
      body.prepend(...movable);
    });
  });
}

function compareCells(a, b) {
  const [x, y] = [a, b].map((cell) => parseFloat(cell.textContent.replaceAll(",", "")));
  return Number.isNaN(x - y) ? a.textContent.localeCompare(b.textContent) : x - y;
}
