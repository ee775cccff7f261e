// Lines over time: axes with units, a legend with the values now or under the pointer, and the keyboard. A missing value is a gap.
//
// A chart keeps no data of its own but what it was last given; the page bounds that.

import { h, s } from "./dom.js";
import { amount, clock, day, ticks } from "./units.js";

const TOP = 10;
const BOTTOM = 34;
const LEFT = 64;
const RIGHT = 12;

/** Steps of the time axis, seconds. */
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];

/**
 * `series`: `{ name, line, title, limit }`; `line` is the class that gives colour and dashes, `limit` one that the scale need not
 * reach. `unit` as in a profile, or `format` for other values.
 */
export class Chart {
  constructor({ title, about, unit, format, series, zoom = false, height = 230 }) {
    this.series = series.map((one) => ({ ...one, values: [], shown: true }));
    this.unit = unit;
    this.format = format ?? ((v) => amount(v, unit));
    this.height = height;
    this.times = [];
    this.at = null;
    this.fit = false;
    this.svg = s("svg", { class: "chart", role: "img", tabindex: "0", "aria-label": `${title}. Arrow keys read the values.` });
    this.readout = h("p", { class: "readout", "aria-live": "polite" });
    this.legend = h("ul", { class: "legend" });
    this.scale = h("button", { type: "button", class: "small", "aria-pressed": "false", onclick: () => this.turnScale() }, "Zoom in on the values");
    this.element = h("figure", { class: "figure" },
      h("figcaption", {}, h("b", {}, title), " ", h("span", { class: "soft" }, about)),
      this.svg, this.legend, h("div", { class: "under" }, this.readout, zoom && this.scale));
    this.svg.addEventListener("pointermove", (e) => this.point(e));
    this.svg.addEventListener("pointerleave", () => this.choose(null));
    this.svg.addEventListener("keydown", (e) => this.key(e));
    this.svg.addEventListener("blur", () => this.choose(null));
    this.width = 0;
    new ResizeObserver(([entry]) => {
      if (Math.abs(entry.contentRect.width - this.width) < 1) return;
      this.width = entry.contentRect.width;
      requestAnimationFrame(() => this.draw());
    }).observe(this.element);
  }

  /** `times` in unix milliseconds; `values` a list for each series. */
  update(times, values) {
    this.times = times;
    this.series.forEach((one, i) => { one.values = values[i] ?? []; });
    if (this.at !== null && this.at >= times.length) this.at = null;
    this.draw();
  }

  turnScale() {
    this.fit = !this.fit;
    this.scale.setAttribute("aria-pressed", String(this.fit));
    this.draw();
  }

  /** Lowest and highest value of the scale. */
  range() {
    let [low, high] = [Infinity, -Infinity];
    const take = (one) => {
      for (const v of one.values) {
        if (v === null || v === undefined) continue;
        low = Math.min(low, v);
        high = Math.max(high, v);
      }
    };
    this.series.filter((one) => one.shown && !one.limit).forEach(take);
    const top = high;
    this.series.filter((one) => one.shown && one.limit).forEach((one) => {
      const last = one.values.at(-1);
      // A limit far away would press all lines to the floor; the legend has its value.
      if (last !== null && last !== undefined && !this.fit && last < top * 4) take(one);
    });
    if (high === -Infinity) return [0, 1];
    return [this.fit ? low : Math.min(0, low), high];
  }

  draw() {
    if (!this.width) return;
    const { width, height, times } = this;
    const [low, high] = this.range();
    const marks = ticks(low, high, 4, this.unit);
    const [from, to] = [marks[0], Math.max(marks.at(-1), high)];
    const [first, last] = times.length > 1 ? [times[0], times.at(-1)] : [(times[0] ?? Date.now()) - 60_000, times[0] ?? Date.now()];
    this.x = (t) => LEFT + (t - first) / (last - first) * (width - LEFT - RIGHT);
    const y = (v) => height - BOTTOM - (v - from) / (to - from || 1) * (height - TOP - BOTTOM);
    const parts = [];
    for (const mark of marks.filter((m) => y(m) >= TOP - 2)) {
      parts.push(s("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(mark), y2: y(mark) }),
        s("text", { x: LEFT - 6, y: y(mark) + 4, "text-anchor": "end" }, this.format(mark)));
    }
    const floor = height - BOTTOM;
    const room = Math.max(2, Math.floor((width - LEFT - RIGHT) / 84));
    const step = 1000 * (STEPS.find((n) => n * 1000 * room >= last - first) ?? 86400);
    for (let t = Math.ceil(first / step) * step; t <= last; t += step) {
      const text = clock(t);
      parts.push(s("line", { class: "tick", x1: this.x(t), x2: this.x(t), y1: floor, y2: floor + 4 }),
        s("text", { x: Math.min(this.x(t), width - 26), y: floor + 16, "text-anchor": "middle" }, step >= 60_000 ? text.slice(0, 5) : text));
    }
    parts.push(s("text", { x: (LEFT + width - RIGHT) / 2, y: height - 4, "text-anchor": "middle" }, `UTC, ${day(last)}`));
    for (const one of this.series.filter((o) => o.shown)) parts.push(...this.line(one, y, to));
    if (this.at !== null) {
      const x = this.x(times[this.at]);
      parts.push(s("line", { class: "cursor", x1: x, x2: x, y1: TOP, y2: floor }));
      for (const one of this.series.filter((o) => o.shown)) {
        const v = one.values[this.at];
        if (v !== null && v !== undefined && v <= to) parts.push(s("circle", { class: `dot ${one.line}`, cx: x, cy: y(v), r: 3.5 }));
      }
    }
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.setAttribute("height", height);
    this.svg.replaceChildren(...parts);
    this.say();
  }

  line(one, y, to) {
    const runs = [];
    let run = null;
    one.values.forEach((v, i) => {
      if (v === null || v === undefined || v > to) run = null;
      else if (run) run.push([this.x(this.times[i]), y(v)]);
      else runs.push(run = [[this.x(this.times[i]), y(v)]]);
    });
    return runs.map((points) => points.length === 1
      ? s("circle", { class: `dot ${one.line}`, cx: points[0][0], cy: points[0][1], r: 2.5 })
      : s("path", { class: `line ${one.line}`, d: `M${points.map(([px, py]) => `${px.toFixed(1)} ${py.toFixed(1)}`).join("L")}` }));
  }

  /** The legend with the values at the cursor, or the last ones. */
  say() {
    const at = this.at ?? this.times.length - 1;
    const text = (one) => {
      const v = one.values[at];
      return v === null || v === undefined ? one.missing ?? "-" : this.format(v);
    };
    if (this.legend.children.length !== this.series.length) {
      this.legend.replaceChildren(...this.series.map((one) => h("li", {},
        h("button", { type: "button", title: one.title, "aria-pressed": "true", onclick: (e) => this.toggle(one, e.currentTarget) },
          s("svg", { class: "key", viewBox: "0 0 28 10", "aria-hidden": "true" }, s("line", { class: `line ${one.line}`, x1: 1, x2: 27, y1: 5, y2: 5 })),
          h("span", {}, one.name), " ", h("b", {})))));
    }
    this.series.forEach((one, i) => { this.legend.children[i].querySelector("b").textContent = text(one); });
    const time = this.times[at];
    const when = time === undefined ? "No reading yet." : `${this.at === null ? "Last reading" : "At"} ${clock(time)} UTC`;
    if (this.readout.textContent !== when) this.readout.textContent = when;
  }

  toggle(one, button) {
    one.shown = !one.shown;
    button.setAttribute("aria-pressed", String(one.shown));
    this.draw();
  }

  point(event) {
    const box = this.svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * this.width;
    let best = null;
    this.times.forEach((t, i) => {
      if (best === null || Math.abs(this.x(t) - x) < Math.abs(this.x(this.times[best]) - x)) best = i;
    });
    this.choose(best);
  }

  key(event) {
    const last = this.times.length - 1;
    const at = this.at ?? last;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, PageUp: at - 12, PageDown: at + 12, Home: 0, End: last }[event.key];
    if (event.key === "Escape") this.choose(null);
    if (to === undefined || last < 0) return;
    event.preventDefault();
    this.choose(Math.max(0, Math.min(last, to)));
    this.readout.textContent += `: ${this.series.filter((o) => o.shown).map((o) => `${o.name} ${o.values[this.at] === null ? "missing" : this.format(o.values[this.at])}`).join(", ")}`;
  }

  choose(at) {
    if (at === this.at) return;
    this.at = at;
    this.draw();
  }
}
