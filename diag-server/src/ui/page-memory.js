// Triage: where the memory is, what grows within some seconds, and one verdict.

import { address, get, post } from "./api.js";
import { fact, h, problem, select, table, waiting } from "./dom.js";
import { go, read } from "./route.js";
import { bytes, count, percent, seconds, share, signed } from "./units.js";

export const title = "Memory";
export const heading = "Where the memory is";

const DEFAULT_SECONDS = "5";
const NAMES = { c_heap: "C heap" };

export function show(body, parameters, signal) {
  let wait = DEFAULT_SECONDS;
  const place = h("div");
  const purged = h("div");
  const again = h("button", { type: "button", onclick: () => ask() }, "Look again");
  const purge = h("button", { type: "button", onclick: give, hidden: true }, "Give unused pages back");
  const withheld = h("span", { class: "soft", hidden: true }, "This server is read-only: it gives no unused pages back.");
  const lengths = select("Between two readings", [["5", "5 s"], ["30", "30 s"], ["300", "5 min"]], wait, (v) => go("memory", { seconds: v }));
  body.append(
    h("div", { class: "bar" }, lengths, again,
      h("span", { class: "push" }, purge, withheld)),
    purged, place);
  offer();

  /** The button is there where it would be obeyed. */
  async function offer() {
    try {
      const { server } = await get("status", {}, signal);
      purge.hidden = server.read_only;
      withheld.hidden = !server.read_only;
    } catch {
      // Who cannot tell is not asked to purge either.
    }
  }

  async function ask() {
    again.disabled = true;
    place.replaceChildren(waiting(`Reading twice, ${wait} s apart.`));
    try {
      draw(place, await get("triage", { seconds: wait }, signal));
    } catch (error) {
      if (!signal.aborted) place.replaceChildren(problem(error, ask));
    }
    again.disabled = false;
  }

  /** The one thing on these pages that changes the service. */
  async function give() {
    purge.disabled = true;
    purged.replaceChildren(waiting("Asking jemalloc to return its unused pages."));
    try {
      const answer = await post("purge", {}, signal);
      purged.replaceChildren(h("p", { role: "status" }, told(answer)));
    } catch (error) {
      if (!signal.aborted) purged.replaceChildren(problem(error));
    }
    purge.disabled = false;
  }

  function update(next) {
    wait = read(next).seconds ?? DEFAULT_SECONDS;
    lengths.querySelector("select").value = wait;
    ask();
  }

  update(parameters);
  return update;
}

function told({ before, after, took_s: took }) {
  const change = (name, key) => `${name} ${known(before[key], bytes)} \u2192 ${known(after[key], bytes)}`;
  return `In ${seconds(took)}: ${change("RSS", "rss_bytes")}, ${change("dirty pages", "dirty_bytes")}, ${change("muzzy pages", "muzzy_bytes")}.`;
}

/** A value, or that it is missing; the server gives the reason in its place. */
function known(value, format) {
  return typeof value === "number" ? format(value) : "missing";
}

function growth(value) {
  return known(value, (v) => signed(v, "bytes"));
}

function draw(place, t) {
  const most = Math.max(...t.parts.map((p) => Math.abs(p.bytes)), 1);
  const all = typeof t.total_bytes === "number" ? t.total_bytes : 0;
  const rows = t.parts.map((p) => [NAMES[p.name] ?? p.name.replaceAll("_", " "), bytes(p.bytes), share(p.bytes, all), bar(p.bytes / most),
    growth(p.growth_bytes), p.detail ?? ""]);
  rows.push(["not explained", bytes(t.unexplained_bytes), share(t.unexplained_bytes, all), bar(t.unexplained_bytes / most),
    growth(t.unexplained_growth_bytes), ""]);
  const scope = t.scope === "cgroup" ? "memory charged to the cgroup" : "resident memory of the process";
  place.replaceChildren(
    h("p", { class: `verdict ${t.total_growth_bytes > 0 && t.basis === "growth" ? "open" : "fine"}`, role: "status" },
      `${t.verdict.replaceAll("_", " ").replace(/^./, (c) => c.toUpperCase())}: ${t.evidence}.`),
    h("dl", { class: "numbers" }, fact("In all", known(t.total_bytes, bytes), scope), fact("Growth", growth(t.total_growth_bytes)),
      fact("Over", seconds(t.watched_s)), fact("Counted", t.scope.replaceAll("_", " "), scope),
      t.sampled && fact("Sampled heap", `${bytes(t.sampled.bytes)} (${bytes(t.sampled.low_bytes)} to ${bytes(t.sampled.high_bytes)})`, "95 % interval"),
      t.sampled && fact("Agrees with the allocator", t.sampled_agrees ? "yes" : "no")),
    table(["part", "n:bytes", "n:share", "", "n:growth", "about it"], rows, `Parts of the ${scope}; they add up. Growth over ${seconds(t.watched_s)}.`),
    classes(t), holders(t), list("Notes", t.notes), list("Missing", t.missing),
    t.next.length ? h("div", {}, h("h3", {}, "Next"), h("pre", {}, t.next.join("\n"))) : "",
    h("p", { class: "links" }, h("a", { href: address("api/v1/triage", { seconds: 5 }), download: "triage.json" }, "Triage as JSON"),
      h("a", { href: address("api/v1/memory"), download: "memory.json" }, "Waterline as JSON"),
      h("a", { href: address("api/v1/memory", { format: "text" }), target: "_blank", rel: "noopener" }, "as text"),
      h("a", { href: address("api/v1/view", { of: "live", format: "pprof" }), download: "heap.pb.gz" }, "Heap as pprof")));
}

function bar(part) {
  const line = h("span", { class: "share", "aria-hidden": "true" });
  line.style.width = `${Math.max(0, Math.min(1, part)) * 120}px`;
  return line;
}

function classes(t) {
  if (!t.size_classes.length) return "";
  return table(["n:object size", "n:free room", "n:used", "n:growth"], t.size_classes.map((c) => [bytes(c.size_bytes), bytes(c.wasted_bytes),
    percent(c.utilization * 100), growth(c.growth_bytes)]), "Size classes with much free room.");
}

function holders(t) {
  if (!t.holders.length) return "";
  return table(["n:object size", "n:objects", "n:bytes", "n:half older than", "held by"], t.holders.map((o) => [bytes(o.size_bytes), count(o.objects), bytes(o.bytes),
    seconds(o.age_p50_s), h("code", {}, o.site)]), "Old objects that keep such pages.");
}

function list(name, texts) {
  return texts.length ? h("div", {}, h("h3", {}, name), h("ul", {}, texts.map((text) => h("li", {}, text)))) : "";
}
