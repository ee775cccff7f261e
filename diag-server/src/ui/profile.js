// One profile, or two compared, as a flame graph with everything that can be chosen about it. What is chosen is in the address; the
// picture, the downloads and the link are the same request to `view`.

import { address, get, often, pause } from "./api.js";
import { h, problem, select, waiting } from "./dom.js";
import { FlameView } from "./flame-view.js";
import { link, note } from "./route.js";
import { amount } from "./units.js";

/** What `view` is asked for; `search` and `zoom` are the picture's own. */
const ASKED = ["of", "base", "type", "label", "focus", "group", "order", "runtime", "frames"];
/** A live picture takes at most a twentieth of one processor. */
const SHARE = 20;
const LIVE_MS = 5000;
/** A picture to be saved has fewer frames: it is a file for any viewer. */
const SAVED_FRAMES = 4000;

export class ProfileView {
  /** `front(data)` gives the page's own controls for what is shown. */
  constructor({ page, signal, front = () => [] }) {
    Object.assign(this, { page, signal, front, chosen: {}, live: true, loading: null });
    this.bar = h("div", { class: "bar" });
    this.filters = h("div", { class: "bar" });
    this.state = h("div");
    this.more = h("details", {}, h("summary", {}, "More choices"), h("div", { class: "bar" }));
    this.downloads = h("p", { class: "links" });
    this.place = h("div");
    this.element = h("section", {}, this.bar, this.filters, this.more, this.state, this.place, this.downloads);
    often(signal, async () => {
      if (!this.isLive() || !this.data) return 1000;
      const began = performance.now();
      await this.load(true);
      return Math.max(LIVE_MS, (performance.now() - began) * SHARE);
    });
  }

  isLive() {
    return this.live && (this.chosen.of ?? "live") === "live";
  }

  /** Shows what the address says. */
  show(chosen) {
    const asked = JSON.stringify(this.parameters(chosen));
    const same = asked === this.asked && this.data;
    this.chosen = chosen;
    this.asked = asked;
    this.flame ??= this.makeFlame(chosen);
    if (!same) this.load(false);
  }

  makeFlame({ search, zoom }) {
    const keep = (name) => (value) => {
      this.chosen = { ...this.chosen, [name]: value };
      note(this.page, this.chosen);
    };
    const flame = new FlameView({ search, zoom, onsearch: keep("search"), onzoom: keep("zoom") });
    this.place.append(flame.element);
    return flame;
  }

  parameters(chosen = this.chosen) {
    return Object.fromEntries(ASKED.map((name) => [name, chosen[name]]));
  }

  /** Another choice: a step in the history. */
  choose(change) {
    location.hash = link(this.page, { ...this.chosen, ...change });
  }

  async load(quietly) {
    this.loading?.abort();
    const loading = this.loading = new AbortController();
    this.signal.addEventListener("abort", () => loading.abort(), { once: true });
    if (!quietly) {
      // What is there within a moment needs no announcement.
      pause(250, loading.signal).then(() => {
        if (this.loading === loading && !this.signal.aborted) this.state.replaceChildren(waiting("Taking the profile, naming its frames."));
      });
    }
    try {
      this.data = await get("view", this.parameters(), loading.signal);
      this.flame.update(this.data.flame);
      this.state.replaceChildren();
      this.controls();
    } catch (error) {
      if (loading.signal.aborted) return;
      this.state.replaceChildren(problem(error, () => this.load(false)));
      if (!quietly) this.controls();
    } finally {
      if (this.loading === loading) this.loading = null;
    }
  }

  controls() {
    // Nothing is taken out of somebody's hand: a list that is open, a word half written.
    if (this.element.contains(document.activeElement) && document.activeElement.matches(".bar select, .bar input:not([type=search])")) return;
    this.bar.replaceChildren(...this.front(this.data), this.liveButton());
    this.filters.replaceChildren(...this.labelChoices());
    this.more.lastChild.replaceChildren(...this.otherChoices());
    this.links();
  }

  liveButton() {
    if ((this.chosen.of ?? "live") !== "live") return "";
    return h("button", {
      type: "button", class: "push", "aria-pressed": String(this.live), title: "Takes the profile again every few seconds",
      onclick: () => { this.live = !this.live; this.controls(); },
    }, this.live ? "Live" : "Live is off");
  }

  /** For each label of the samples, which value; and by which the stacks are grouped. */
  labelChoices() {
    const labels = this.data?.labels ?? [];
    const chosen = new Map((this.chosen.label ?? []).map((text) => [text.slice(0, text.indexOf("=")), text]));
    const keys = new Set([...labels.map((l) => l.key), ...chosen.keys()]);
    const unit = this.data?.flame.value.unit;
    const lists = [...keys].map((key) => {
      const { values, more } = labels.find((l) => l.key === key) ?? { values: [], more: 0 };
      const options = [["", "all"], ...values.map(([text, value]) => [exactly(key, text), `${cut(text)}  (${amount(value, unit)})`])];
      const current = chosen.get(key) ?? "";
      if (!options.some(([value]) => value === current)) options.push([current, cut(current.slice(key.length + 1))]);
      if (more) options.push([current, `and ${more} smaller`]);
      return select(cut(key), options, current, (value) => {
        chosen.set(key, value);
        this.choose({ label: [...chosen.values()].filter(Boolean) });
      });
    });
    if (keys.size) {
      lists.push(select("Group by", [["", "nothing"], ...[...keys].map((k) => [k, cut(k)])], this.chosen.group ?? "", (group) => this.choose({ group })));
    }
    return lists;
  }

  otherChoices() {
    const focus = h("input", {
      value: this.chosen.focus ?? "", placeholder: "Regular expression", spellcheck: "false", maxlength: "500",
      onchange: (e) => { e.target.blur(); this.choose({ focus: e.target.value }); },
    });
    return [
      h("label", { class: "field grow" }, h("span", {}, "Only stacks with a function or file like"), focus),
      select("Stacks", [["", "who calls what"], ["leaf", "who is called by whom"]], this.chosen.order ?? "", (order) => this.choose({ order })),
      select("Runtime frames", [["", "folded"], ["show", "shown"], ["hide", "hidden"]], this.chosen.runtime ?? "", (runtime) => this.choose({ runtime })),
      select("Most frames", [["2000", "2,000"], ["", "20,000"], ["100000", "100,000"]], this.chosen.frames ?? "", (frames) => this.choose({ frames })),
    ];
  }

  links() {
    const asked = this.parameters();
    const to = (format) => address("api/v1/view", { ...asked, format, frames: format === "pprof" ? undefined : asked.frames ?? SAVED_FRAMES });
    const copied = h("span", { role: "status", class: "soft" });
    const copy = async () => {
      try {
        await navigator.clipboard.writeText(location.href);
        copied.textContent = "copied";
      } catch {
        copied.textContent = "the address of this page is the link";
      }
    };
    this.downloads.replaceChildren(
      h("a", { href: to("pprof"), download: "profile.pb.gz" }, "Download as pprof"), h("a", { href: to("svg"), download: "flamegraph.svg" }, "SVG"),
      h("a", { href: to("html"), target: "_blank", rel: "noopener" }, "Page of its own"),
      h("button", { type: "button", class: "small", onclick: copy }, "Copy the link to this view"), copied);
  }
}

/** The label condition for exactly this value. */
function exactly(key, text) {
  return `${key}=^${text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`;
}

/** What a person calls a sample type. */
export function typeName(type) {
  const names = {
    inuse_space: "in use, bytes", inuse_objects: "in use, objects", alloc_space: "allocated, bytes", alloc_objects: "allocated, objects",
    cpu: "CPU time", wall: "wall-clock time", samples: "samples",
  };
  return names[type] ?? cut(type.replaceAll("_", " "));
}

/** Labels come from the process: short enough for a list, and without what turns the writing around. */
export function cut(text) {
  const shown = plain(text);
  return shown.length > 48 ? `${shown.slice(0, 30)}\u2026${shown.slice(-16)}` : shown;
}

/** Without what cannot be seen. */
export function plain(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, "\ufffd");
}
