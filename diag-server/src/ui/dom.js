// Elements from texts. Nothing here, or anywhere in the page, makes markup out of a text: names of functions, files and labels
// come from the process and are shown as they are.

const SVG = "http://www.w3.org/2000/svg";

/** An element: properties, `on…` listeners, `data-…`, `aria-…` and other attributes; children are nodes or texts. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same of SVG. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** A term and its value, for a list of numbers. */
export function fact(name, value, title) {
  return h("div", { title }, h("dt", {}, name), h("dd", {}, value));
}

/** A `select` of `[value, text]`. */
export function select(label, options, value, onchange) {
  const box = h("select", { onchange: (e) => onchange(e.target.value) },
    options.map(([v, text]) => h("option", { value: v }, text)));
  box.value = value;
  return h("label", { class: "field" }, h("span", {}, label), box);
}

/** Buttons of which one is pressed. */
export function choice(label, options, value, onchange) {
  return h("div", { class: "choice", role: "group", "aria-label": label },
    options.map(([v, text]) => h("button", {
      type: "button", "aria-pressed": String(v === value), onclick: () => v !== value && onchange(v),
    }, text)));
}

/** What went wrong, and what to do, as the server put it. */
export function problem(error, retry) {
  const text = error instanceof Error ? error.message : String(error);
  return h("div", { class: "problem", role: "alert" }, h("p", {}, text),
    retry && h("button", { type: "button", onclick: retry }, "Try again"));
}

/** Says that something is on its way. */
export function waiting(text) {
  return h("p", { class: "waiting", role: "status" }, text);
}

/** A table; cells are texts or nodes, columns named `n:…` are numbers. */
export function table(columns, rows, caption) {
  const numbers = columns.map((c) => c.startsWith("n:"));
  return h("div", { class: "scroll" }, h("table", {},
    caption && h("caption", {}, caption),
    h("thead", {}, h("tr", {}, columns.map((c, i) =>
      h("th", { scope: "col", class: numbers[i] && "n" }, c.replace(/^n:/, ""))))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell, i) =>
      h("td", { class: numbers[i] && "n", "data-is": numbers[i] && columns[i].slice(2) }, cell)))))));
}
