"use strict";

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function readData(figure) {
  return JSON.parse(figure.querySelector('script[type="application/json"]').textContent);
}

// A group of buttons of which one is pressed, or a menu where they would be many.
function makeChoice(label, names, choose) {
  if (names.length > 4) {
    const menu = make("select", { "aria-label": label }, ...names.map((name) => make("option", {}, name)));
    menu.addEventListener("change", () => choose(menu.selectedIndex));
    return make("span", {}, menu);
  }
  const buttons = names.map((name, index) => {
    const button = make("button", { type: "button", class: "choice", "aria-pressed": index === 0 }, name);
    button.addEventListener("click", () => {
      buttons.forEach((other) => other.setAttribute("aria-pressed", other === button));
      choose(index);
    });
    return button;
  });
  return make("span", { role: "group", "aria-label": label }, ...buttons);
}

// A table sorts by a column when its heading is pressed; averages stay at the end.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const movable = [...body.rows].slice(0, body.rows.length - Number(table.dataset.fixed));
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = make("button", { type: "button" }, heading.textContent);
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const isDescending = heading.getAttribute("aria-sort") !== "descending";
      for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
      const sign = isDescending ? -1 : 1;
      movable.sort((a, b) => sign * compareCells(a.cells[column], b.cells[column]));
      body.prepend(...movable);
    });
  });
}

function compareCells(a, b) {
  const [x, y] = [a, b].map((cell) => parseFloat(cell.textContent.replaceAll(",", "").replace("\u2212", "-")));
  return Number.isNaN(x - y) ? a.textContent.localeCompare(b.textContent) : x - y;
}

// What scrolls can be reached by keyboard; what fits is no stop on the way.
const stops = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const scrolls = target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight;
    const facts = { tabindex: 0, role: "region", "aria-label": target.dataset.name };
    for (const [name, value] of Object.entries(facts)) {
      if (scrolls) target.setAttribute(name, value);
      else target.removeAttribute(name);
    }
  }
});
for (const scroll of document.querySelectorAll(".scroll")) stops.observe(scroll);

// The contents are open beside the text, closed above it, and show where the reader is.
const contents = document.querySelector("nav details");
const isWide = matchMedia("(min-width: 68rem)");
const fold = () => { contents.open = isWide.matches; };
fold();
isWide.addEventListener("change", fold);
const links = new Map([...contents.querySelectorAll("a")].map((link) => [link.hash.slice(1), link]));
for (const link of links.values()) link.addEventListener("click", () => { fold(); });
const seen = new Set();
const reader = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) seen.add(target);
    else seen.delete(target);
  }
  const first = sections.find((section) => seen.has(section));
  for (const [id, link] of links) {
    if (first?.getAttribute("aria-labelledby") === id) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}, { rootMargin: "-10% 0px -60% 0px" });
const sections = [...document.querySelectorAll("section")];
for (const section of sections) reader.observe(section);
