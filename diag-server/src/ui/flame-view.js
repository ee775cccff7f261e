// A flame graph with what goes around it: search, zoom, the values of a frame, a table of functions, the keyboard.

import { h, table } from "./dom.js";
import { FlameCanvas } from "./flame-canvas.js";
import { Flame } from "./flame-model.js";
import { amount, count, share, signed } from "./units.js";

const MOST_FUNCTIONS = 60;
const KEYS = "Arrow keys move, Enter zooms in, Escape zooms out, / searches, n and N go to the next match.";
const POINT = `Point at a frame for its values; click to zoom in. ${KEYS}`;

export class FlameView {
  /** `onsearch(text)` and `onzoom(path)` note in the address what is searched and zoomed. */
  constructor({ search = "", zoom = "", onsearch, onzoom }) {
    Object.assign(this, { onsearch, onzoom, flame: new Flame(NOTHING), zoom: 0, chosen: -1, hovered: -1, wanted: zoom });
    this.term = h("input", {
      type: "search", value: search, placeholder: "Regular expression", spellcheck: "false", autocomplete: "off", maxlength: "500",
      oninput: () => this.find(true), onkeydown: (e) => this.inSearch(e),
    });
    this.matched = h("output", { class: "soft" });
    this.whole = h("button", { type: "button", onclick: () => this.zoomTo(0) }, "Zoom out");
    this.canvas = h("canvas", {
      tabindex: "0", role: "application", "aria-roledescription": "flame graph", "aria-label": `Flame graph. ${KEYS}`,
      "aria-describedby": "frame", onkeydown: (e) => this.key(e),
    });
    this.spacer = h("div", { class: "spacer" });
    this.scroller = h("div", { class: "flame" }, this.canvas, this.spacer);
    this.info = h("p", { id: "frame", class: "info mono", "aria-live": "polite" }, POINT);
    this.title = h("figcaption");
    this.legend = h("ul", { class: "legend plain" });
    this.notes = h("ul", { class: "soft notes" });
    this.table = h("details", { ontoggle: () => this.list() }, h("summary", {}, "Functions as a table"), h("div"));
    this.picture = h("div", {},
      h("div", { class: "bar" }, h("label", { class: "field grow" }, h("span", {}, "Search functions and files"), this.term),
        this.matched, this.whole),
      this.scroller, this.info, this.legend, this.table);
    this.element = h("figure", { class: "figure" }, this.title, this.picture, this.notes);
    this.drawing = new FlameCanvas(this, this.canvas, this.scroller, this.spacer);
  }

  /** Shows other data at the same place: zoom and search stay. */
  update(data) {
    const path = this.flame.size ? this.flame.path(this.zoom) : this.wanted;
    const chosen = this.chosen >= 0 ? this.flame.path(this.chosen) : null;
    this.flame = new Flame(data);
    const empty = this.flame.size === 0;
    this.picture.hidden = empty;
    this.title.replaceChildren(h("b", {}, data.title), h("span", { class: "soft" }, empty ? data.empty : `${data.subtitle}. ${data.width}`.replace("..", ".")));
    this.notes.replaceChildren(...data.notes.map((note) => h("li", {}, note)));
    this.legend.replaceChildren(...data.legend.map(({ fill, text }) => h("li", {}, swatch(fill), text)));
    if (empty) return;
    this.zoom = this.flame.follow(path);
    this.chosen = chosen ? this.flame.follow(chosen) : -1;
    this.hovered = -1;
    this.whole.disabled = this.zoom === 0;
    this.find(false);
    this.tell(this.chosen);
    this.list();
    this.drawing.later();
  }

  find(typed) {
    const text = this.term.value;
    let pattern = null;
    this.matched.textContent = "";
    try {
      pattern = text ? new RegExp(text, "i") : null;
    } catch {
      this.matched.textContent = "not a valid pattern";
    }
    const found = this.flame.search(pattern);
    if (found) {
      this.matched.textContent = found.count === 0 ? "no match"
        : `${count(found.count)} ${found.count === 1 ? "frame" : "frames"}, ${share(found.width, this.flame.total)}`;
    }
    if (typed) this.onsearch(text);
    this.drawing.later();
  }

  inSearch(event) {
    if (event.key === "Enter") {
      this.choose(this.flame.next(Math.max(0, this.chosen), event.shiftKey));
      event.preventDefault();
    } else if (event.key === "Escape") {
      this.term.value = "";
      this.find(true);
      this.canvas.focus();
    }
  }

  hover(i) {
    if (i === this.hovered) return;
    this.hovered = i;
    this.canvas.style.cursor = i >= 0 ? "pointer" : "default";
    this.tell(i >= 0 ? i : this.chosen);
    this.drawing.later();
  }

  pick(i) {
    if (i < 0) return;
    this.chosen = i;
    this.zoomTo(i);
  }

  choose(i) {
    this.chosen = i;
    // What lies outside the zoomed part is shown by zooming out to what holds both.
    while (this.zoom > 0 && (i < this.zoom || i >= this.flame.end[this.zoom])) this.zoom = this.flame.parent[this.zoom];
    this.whole.disabled = this.zoom === 0;
    this.tell(i);
    this.drawing.reveal(i);
    this.drawing.later();
  }

  zoomTo(i) {
    this.zoom = i;
    this.whole.disabled = i === 0;
    this.tell(i);
    this.onzoom(this.flame.path(i));
    this.drawing.reveal(i);
    this.drawing.later();
  }

  key(event) {
    const at = Math.max(0, this.chosen);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    switch (event.key) {
      case "ArrowUp": case "ArrowDown": case "ArrowLeft": case "ArrowRight":
        this.choose(this.chosen < 0 ? this.zoom : this.flame.step(at, event.key));
        break;
      case "Enter": case " ": this.zoomTo(at); break;
      case "Escape": this.zoomTo(this.zoom === 0 ? 0 : this.flame.parent[this.zoom]); break;
      case "/": this.term.focus(); this.term.select(); break;
      case "n": case "N": this.choose(this.flame.next(at, event.key === "N")); break;
      default: return;
    }
    event.preventDefault();
  }

  tell(i) {
    this.info.textContent = i < 0 ? POINT : this.values(i);
  }

  /** `name: 12.3 MiB in 40 objects, 25.0 %; self 1.2 MiB; src/x.rs` */
  values(i) {
    const { flame } = this;
    const { value, also, frames } = flame.data;
    const parts = [];
    if (flame.difference) {
      parts.push(signed(flame.change(i), value.unit));
      if (also) parts[0] += ` in ${signed(frames.new_also[i] - (frames.base_also[i] ?? 0), "count")} ${noun(also)}`;
      if (frames.base.length) parts.push(`${amount(frames.base[i], value.unit)} \u2192 ${amount(frames.new[i], value.unit)}`);
    } else {
      parts.push(`${amount(frames.new[i], value.unit)}${value.unit === "count" ? ` ${noun(value)}` : ""}`);
      if (also) parts[0] += ` in ${amount(frames.new_also[i], also.unit)}${also.unit === "count" ? ` ${noun(also)}` : ""}`;
    }
    parts.push(share(flame.width[i], flame.total));
    if (flame.own[i] > 0 && flame.own[i] < flame.width[i]) parts.push(`self ${amount(flame.own[i], value.unit)}`);
    const file = flame.names[flame.name[i]][2];
    return `${flame.label(i)}: ${parts.join(", ")}${file && `; ${file}`}`;
  }

  /** The table, when somebody looks at it. */
  list() {
    if (!this.table.open || !this.flame.size) return;
    const { flame } = this;
    const { unit } = flame.data.value;
    const { list, all } = flame.functions(MOST_FUNCTIONS);
    const [own, total] = flame.difference ? ["n:changed by itself", "n:changed with what it calls"] : ["n:self", "n:total"];
    const rows = list.map((row) => [
      amount(row.own, unit), share(row.own, flame.total),
      flame.difference ? signed(row.change, unit) : amount(row.total, unit), share(row.total, flame.total),
      h("button", { type: "button", class: "name mono", onclick: () => this.searchFor(row.name) }, flame.names[row.name][0]),
      h("span", { class: "soft file" }, flame.names[row.name][2])]);
    this.table.lastChild.replaceChildren(table([own, "n:share", total, "n:share", "function", "file"], rows,
      `The ${list.length} largest of ${count(all)} functions, by what they have themselves.`));
  }

  searchFor(name) {
    this.term.value = `^${this.flame.names[name][0].replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`;
    this.find(true);
  }
}

const NOTHING = {
  names: [], fills: [], difference: false, frames: { depth: [], name: [], fill: [], width: [], own: [], new: [], base: [] },
};

/** `inuse_objects` are objects. */
function noun(kinds) {
  return kinds.kind.endsWith("objects") ? "objects" : kinds.kind;
}

function swatch(fill) {
  const box = h("i", { class: fill.startsWith("#") ? null : fill });
  if (fill.startsWith("#")) box.style.background = fill;
  return box;
}
