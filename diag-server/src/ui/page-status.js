// What runs, what does not, and why.

import { address, get, often } from "./api.js";
import { fact, h, problem, table } from "./dom.js";
import { plain } from "./profile.js";
import { bytes, count, moment, seconds } from "./units.js";

export const title = "Status";

export function show(body, _parameters, signal) {
  const place = h("div");
  body.append(place);
  often(signal, async () => {
    try {
      const [status, kept] = await Promise.all([get("status", {}, signal), get("kept", {}, signal)]);
      draw(place, status, kept);
    } catch (error) {
      if (!signal.aborted) place.replaceChildren(problem(error));
    }
    return 5000;
  });
}

function draw(place, s, kept) {
  const problems = s.problems.map((p) => h("div", { class: "problem" }, h("p", {}, h("b", {}, p.part), `: ${p.what}`), h("p", {}, p.next)));
  place.replaceChildren(
    h("p", { class: `verdict ${problems.length ? "open" : "fine"}` }, verdict(problems.length)),
    ...problems,
    section("Process", [["Service", s.config.service_name], ["Process", s.pid], ["Program", s.executable ?? "-"], ["diag", s.version],
      ["diag started", moment(s.started_unix_s * 1000)], ["Running for", seconds(s.uptime_s)], ["Units of work", count(s.work_units_total)], ["Requests may change it", s.server.read_only ? "no: read-only" : "yes"]]),
    s.heap ? section("Heap", [["Source", s.heap.source], ["Sampling", s.heap.active ? "on" : "off"], ["Sampled every", bytes(s.heap.sample_period_bytes)],
      ["Samples", count(s.heap.samples_total)], ["Alive of them", count(s.heap.live_samples)], ["Stacks", count(s.heap.stacks)],
      ["Memory of diag", `${bytes(s.heap.memory_bytes)} of at most ${bytes(s.heap.memory_limit_bytes)}`],
      ["Of that", Object.entries(s.heap.memory_parts).map(([part, size]) => `${part.replace(/_bytes$/, "").replaceAll("_", " ")} ${bytes(size)}`).join(", ")], ["jemalloc", s.heap.jemalloc_version], ["Lost", losses(s.heap.losses)]])
      : section("Heap", [["Collector", "does not run"]]),
    s.cpu ? section("CPU", [["Recording now", s.cpu.recording ? "yes" : "no"], ["Profiles", count(s.cpu.profiles_total)], ["Samples", count(s.cpu.samples_total)],
      ["Source", s.cpu.source], ["Because", s.cpu.why], ["Accounted for", s.cpu.accounted === null ? "-" : `${(s.cpu.accounted * 100).toFixed(1)} %`],
      ["Memory", bytes(s.cpu.memory_bytes)], ["Lost", losses(s.cpu.losses)]]) : "",
    s.captures ? section("Captures", [["Directory", s.captures.dir], ["Written", count(s.captures.written)], ["Failed", count(s.captures.failed)]]) : "",
    s.triggers ? rules(s.triggers) : "",
    section("Profiles kept for these pages", [["Kept", `${kept.kept.length} of at most ${kept.most}`], ["Memory", `${bytes(kept.bytes)} of at most ${bytes(kept.most_bytes)}`]]),
    s.declared.length ? h("section", {}, h("h2", {}, "Declared by the service"), h("pre", {}, JSON.stringify(s.declared, null, 2))) : "",
    h("h2", {}, "Settings"),
    table(["setting", "value"], Object.entries(s.config).map(([name, value]) => [h("code", {}, name), setting(name, value)])),
    h("p", { class: "links" }, h("a", { href: address("api/v1/status"), download: "status.json" }, "Status as JSON"), h("a", { href: address("metrics") }, "Metrics"),
      h("a", { href: address("../pprof/") }, "Files for pprof")));
}

function section(name, facts) {
  return h("section", {}, h("h2", {}, name), h("dl", { class: "numbers wide" }, facts.map(([term, value]) => fact(term, String(value)))));
}

function verdict(count) {
  if (count === 0) return "Everything that was asked for works.";
  return count === 1 ? "One thing does not work as asked." : `${count} things do not work as asked.`;
}

function rules({ rules: list, reserve_bytes: reserve, capture_bound_bytes: bound }) {
  const level = (r) => (r.value === null || !r.fires_at ? "" : `${(r.value / r.fires_at * 100).toFixed(0)} %`);
  const last = (r) => (r.last ? `${moment(r.last.at_unix_ns / 1e6)}: ${plain(r.last.why)}` : r.waits_for && `waits for ${r.waits_for}`);
  return h("section", {}, h("h2", {}, "Rules"),
    table(["rule", "n:fired", "n:held back", "n:level", "fired last"], list.map((r) => [h("code", {}, r.name), count(r.fired_total),
      count(r.refused_debounce_total + r.refused_budget_total), level(r), last(r) ?? ""]),
    `Level: what a rule looks at, of where it fires. Set aside for a capture: ${bytes(reserve)}, of at most ${bytes(bound)} that one takes.`));
}

function setting(name, value) {
  if (value === null) return "not set";
  if (name.endsWith("_bytes")) return bytes(value);
  return name.endsWith("_s") ? seconds(value) : String(value);
}

function losses(list) {
  const found = Object.entries(list);
  return found.length ? found.map(([what, n]) => `${what.replaceAll("_", " ")} ${count(n)}`).join(", ") : "nothing";
}
