// The verdict: whether it leaks, which code, how sure that is, and how its memory went.

import { address, get } from "./api.js";
import { Chart } from "./chart.js";
import { fact, h, problem, select, waiting } from "./dom.js";
import { go, link, read } from "./route.js";
import { bytes, count, perHour, seconds, signed } from "./units.js";

export const title = "Leaks";

const MOST_CARDS = 40;
const MOST_FRAMES = 120;

const HEADLINES = {
  leak: ["leak", "Leak: memory, or the tasks, of at least one site grow without bound."],
  no_leak: ["fine", "No leak found."],
  not_enough_evidence: ["open", "Not enough evidence for a verdict."],
};
const WORDS = { leak: ["leak", "leak"], unbounded_so_far: ["open", "unbounded so far"], saturating: ["fine", "saturating"] };

export function show(body, parameters, signal) {
  const place = h("div");
  const watch = { seconds: "60" };
  const again = h("button", { type: "button", onclick: () => turn({}) }, "Ask again");
  const longer = h("button", { type: "button", onclick: () => turn({ watch: watch.seconds }) }, "Watch closely");
  body.append(
    h("div", { class: "bar" }, again, select("For", [["30", "30 s"], ["60", "60 s"], ["300", "5 min"]], "60", (v) => { watch.seconds = v; }), longer,
      h("span", { class: "soft" }, "Asking is judged on all that happened since the start; watching takes finer censuses for a while.")),
    place);

  let running = null;

  /** The address says what is asked; asking the same again does not change it. */
  function turn(chosen) {
    if (link("leaks", chosen) === location.hash) ask(chosen);
    else go("leaks", chosen);
  }

  async function ask(parameters) {
    running?.abort();
    const mine = running = new AbortController();
    signal.addEventListener("abort", () => mine.abort(), { once: true });
    again.disabled = longer.disabled = true;
    const bar = h("progress", { max: "1", value: 0, "aria-label": "Watching" });
    const began = performance.now();
    const timer = parameters.watch && setInterval(() => { bar.value = Math.min(1, (performance.now() - began) / 1000 / parameters.watch); }, 500);
    place.replaceChildren(waiting(parameters.watch ? `Watching for ${parameters.watch} s.` : "Judging."), parameters.watch ? bar : "");
    try {
      const report = await get("leaks", parameters, mine.signal);
      draw(report);
    } catch (error) {
      if (!mine.signal.aborted) place.replaceChildren(problem(error, () => ask(parameters)));
    } finally {
      clearInterval(timer);
      if (running === mine) again.disabled = longer.disabled = false;
    }
  }

  function draw(report) {
    const [kind, text] = HEADLINES[report.verdict] ?? ["open", report.verdict];
    const charts = new Map();
    const cards = report.suspects.slice(0, MOST_CARDS).map((suspect) => card(suspect, charts));
    place.replaceChildren(
      h("p", { class: `verdict ${kind}`, role: "status" }, text),
      h("ul", {}, report.reasons.map((reason) => h("li", {}, reason))),
      h("dl", { class: "numbers" },
        fact("Watched", seconds(report.watched_s)), fact("Of it judged", seconds(report.window_s)),
        fact("Counts from age", seconds(report.maturity_s)), fact("In use", bytes(report.live_bytes)),
        fact("Groups tested", count(report.tested)), fact("Sampled every", bytes(report.sampling_period_bytes)),
        fact("Smallest leak to be found", `${bytes(report.minimum_detectable_bytes_per_hour)}/h`, "Found in 95 of 100 cases"),
        fact("Growth of the rest", signed(report.unexplained_bytes, "bytes"))),
      ...cards,
      report.suspects.length > MOST_CARDS ? h("p", { class: "soft" }, `${report.suspects.length - MOST_CARDS} more suspects are in the JSON.`) : "",
      ...(report.tasks ?? []).map(tasks),
      losses(report.losses), next(report.next),
      h("p", { class: "links" }, h("a", { href: address("api/v1/leaks"), download: "leaks.json" }, "Verdict as JSON"),
        h("a", { href: address("api/v1/leaks", { format: "text" }), target: "_blank", rel: "noopener" }, "as text"),
        h("a", { href: address("api/v1/view", { of: "live", format: "pprof" }), download: "heap.pb.gz" }, "Heap with ages as pprof")));
    if (charts.size) courses(charts, report.suspects);
  }

  async function courses(charts, suspects) {
    try {
      const found = await get("courses", { site: [...charts.keys()] }, signal);
      for (const course of found.sites) {
        // A verdict on several sites of one function means all stacks through it.
        const { live_bytes: bytes } = suspects.find((s) => s.site === course.site);
        const off = (values) => Math.abs((values.at(-1) ?? 0) - bytes);
        const lines = [course.live_bytes, course.with_callees_bytes];
        charts.get(course.site).update(found.taken_unix_ms, [off(lines[0]) <= off(lines[1]) ? lines[0] : lines[1]]);
      }
    } catch (error) {
      if (!signal.aborted) for (const chart of charts.values()) chart.element.replaceChildren(problem(error));
    }
  }

  const update = (next) => ask(read(next).watch ? { watch: read(next).watch } : {});
  update(parameters);
  return update;
}

function card(s, charts) {
  const [kind, word] = WORDS[s.verdict] ?? ["open", s.verdict];
  const site = s.site || "(no name)";
  const chart = new Chart({
    title: "Live bytes of this site", about: "bytes in use at each census since the start", unit: "bytes", height: 180,
    series: [{ name: "in use", line: "s0" }],
  });
  charts.set(s.site, chart);
  const numbers = [
    fact("Growth", perHour(s.bytes_per_hour)), fact(s.doublings ? "At least" : "At least (95 %)", perHour(s.bytes_per_hour_low)),
    fact("In use", bytes(s.live_bytes)), fact("Objects", count(s.live_objects)),
    fact("Half is older than", seconds(s.age_p50_s)), fact("Generations alive", `${s.generations} of 16`),
    fact("Expected false alarms", s.doublings ? "not known" : s.q_value < 1e-4 ? "under 0.01 %" : `${(s.q_value * 100).toFixed(2)} %`,
      s.doublings ? "The doublings of one block are the evidence; counts of objects are not tested" : undefined),
  ];
  if (s.bytes_per_work_unit !== null) numbers.push(fact("A unit of work", signed(Math.round(s.bytes_per_work_unit), "bytes")));
  if (s.seconds_to_limit !== null) numbers.push(fact("Memory limit reached in", seconds(s.seconds_to_limit)));
  if (s.stacks > 1) numbers.push(fact("Stacks", count(s.stacks)));
  const labels = Object.entries(s.labels);
  const focus = `^${s.site.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`;
  return h("article", { class: `card ${kind}` },
    h("h2", {}, `${s.rank}. `, h("span", { class: "word" }, word), " ", h("code", {}, site)),
    h("p", {}, `${s.evidence.charAt(0).toUpperCase()}${s.evidence.slice(1)}.`),
    h("dl", { class: "numbers" }, numbers),
    labels.length > 0 && h("p", {}, h("span", { class: "soft" }, "Mostly under "), labels.map(([k, v]) => [h("code", {}, `${k}=${v}`), " "])),
    chart.element,
    h("details", { class: "frames" }, h("summary", {}, `Stack, ${s.frames.length} frames, from the allocation outwards`),
      h("ol", { class: "stack" }, s.frames.slice(0, MOST_FRAMES).map((f) => frame(f, s.site)))),
    h("p", { class: "links" }, h("a", { href: link("heap", { focus }) }, "Its stacks as a flame graph"),
      h("a", { href: address("api/v1/view", { of: "live", focus, format: "pprof" }), download: "site.pb.gz" }, "as pprof")));
}

function tasks(found) {
  return h("article", { class: `card ${found.leak ? "leak" : "open"}` },
    h("h2", {}, h("span", { class: "word" }, `tasks ${found.verdict.replaceAll("_", " ")}`), " ", h("code", {}, found.task)),
    h("p", {}, `${found.reason.charAt(0).toUpperCase()}${found.reason.slice(1)}.`),
    h("p", { class: "links" }, h("a", { href: link("tasks") }, `${count(found.live)} tasks, spawned at ${found.site}`)));
}

function frame(f, site) {
  const file = f.file.split("/").slice(-4).join("/");
  return h("li", { class: f.function === site && "own" }, h("code", {}, f.function || "(no name)"), " ",
    file && h("span", { class: "soft" }, f.line > 0 ? `${file}:${f.line}` : file), f.inlined && h("span", { class: "soft" }, " (inlined)"));
}

function losses(list) {
  const found = Object.entries(list);
  return found.length ? h("p", { class: "soft" }, "Lost: ", found.map(([what, n]) => `${what.replaceAll("_", " ")} ${count(n)}`).join(", "), ".") : "";
}

function next(commands) {
  return commands.length ? h("div", {}, h("h3", {}, "Next"), h("pre", {}, commands.join("\n"))) : "";
}
