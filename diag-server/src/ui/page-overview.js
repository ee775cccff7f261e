// The last hour of the process: memory, CPU, and what the diagnostics themselves cost. The server keeps the readings; this page
// keeps as many and no more.

import { address, get, often } from "./api.js";
import { Chart } from "./chart.js";
import { fact, h, problem } from "./dom.js";
import { link } from "./route.js";
import { bytes, count, percent, seconds } from "./units.js";

export const title = "Overview";

const MEMORY = [
  { column: "allocated_bytes", name: "allocated", line: "s0", title: "What the program has allocated and not freed" },
  { column: "active_bytes", name: "active", line: "s1", title: "Pages with allocations in them; the gap to allocated is fragmentation" },
  { column: "resident_bytes", name: "resident (jemalloc)", line: "s2", title: "The most that jemalloc has in memory: active, its own tables, and pages not yet given back" },
  { column: "rss_bytes", name: "RSS", line: "s3", title: "What the kernel counts as the process's memory" },
  { column: "cgroup_bytes", name: "cgroup", line: "s5", limit: true, title: "Charged to the memory cgroup: other processes and page cache in it count too" },
  { column: "cgroup_limit_bytes", name: "cgroup limit", line: "s4", limit: true, title: "At this the kernel kills" },
];

export function show(body, _parameters, signal) {
  const memory = new Chart({
    title: "Memory", about: "bytes, every 5 s over the last hour at most", unit: "bytes", series: MEMORY, zoom: true, height: 280,
  });
  const cpu = new Chart({
    title: "CPU use of the process", about: "percent of one processor, mean between readings", format: percent,
    series: [{ name: "process", line: "s0" }], height: 170,
  });
  const own = new Chart({
    title: "CPU use of diag's own thread", about: "percent of one processor: censuses, readings, captures", format: percent,
    series: [{ name: "diag thread", line: "s0" }], height: 170,
  });
  const tables = new Chart({
    title: "Memory of diag", about: "bytes: tables of the heap collector", unit: "bytes",
    series: [{ name: "diag", line: "s0" }], height: 170,
  });
  const verdict = h("p", { class: "verdict", hidden: true });
  const facts = h("dl", { class: "numbers" });
  const cost = h("dl", { class: "numbers" });
  const trouble = h("div");
  body.append(trouble, verdict, facts, memory.element,
    h("div", { class: "pair" }, cpu.element,
      h("section", {}, h("h2", {}, "What diag costs"), cost, h("p", { class: "soft" },
        "A sample of the heap takes about a microsecond in the thread that allocates; that time is part of the process's."))),
    h("div", { class: "pair" }, own.element, tables.element),
    h("p", { class: "links" }, h("a", { href: address("api/v1/history"), download: "history.json" }, "Readings as JSON"), " ",
      h("a", { href: address("api/v1/view", { of: "live", format: "pprof" }), download: "heap.pb.gz" }, "Heap as pprof")));

  const kept = { times: [], columns: {} };
  let alive = null;
  often(signal, async () => {
    // Missing where the program tracks no task.
    const { tasks } = await get("status", {}, signal).catch(() => ({}));
    alive = tasks?.spawned_total ? tasks.live : null;
    return 10_000;
  });
  often(signal, async () => {
    try {
      const news = await get("history", { since: kept.times.at(-1) ?? 0 }, signal);
      add(kept, news);
      trouble.replaceChildren();
      if (kept.times.length) draw(kept, news.missing);
      return news.every_s * 1000;
    } catch (error) {
      if (signal.aborted) return 0;
      trouble.replaceChildren(problem(error));
      return 5000;
    }
  });
  often(signal, async () => {
    try {
      const found = await get("leaks", {}, signal);
      tell(verdict, found);
    } catch {
      // The Leaks page says why.
      verdict.hidden = true;
    }
    return 60_000;
  });

  function draw({ times, columns }, missing) {
    memory.series.forEach((one) => { one.missing = one.column === "cgroup_limit_bytes" && missing[one.column] === "no limit is set" ? "none" : "missing"; });
    memory.update(times, MEMORY.map((one) => columns[one.column]));
    const busy = rate(times, columns.cpu_ns, 1e-4);
    const mine = rate(times, columns.diag_cpu_ns, 1e-4);
    cpu.update(times, [busy]);
    own.update(times, [mine]);
    tables.update(times, [columns.diag_bytes]);
    const now = (name) => columns[name]?.at(-1) ?? null;
    const text = (value, format) => (value === null ? "missing" : format(value));
    facts.replaceChildren(
      fact("RSS", text(now("rss_bytes"), bytes)), fact("Allocated", text(now("allocated_bytes"), bytes)),
      fact("CPU", text(busy.at(-1), percent)), fact("Threads", text(now("threads"), count)),
      fact("Units of work", text(now("work_units_total"), count), "Requests or jobs, as the service counts them"),
      ...(alive === null ? [] : [fact("Async tasks", h("a", { href: link("tasks") }, count(alive)), "Tracked tasks that are alive")]),
      fact("Readings", `${count(times.length)} over ${seconds((times.at(-1) - times[0]) / 1000)}`));
    const samples = rate(times, columns.heap_samples_total, 1000).at(-1);
    cost.replaceChildren(
      fact("Memory", text(now("diag_bytes"), bytes)), fact("CPU of its thread", text(mine.at(-1), percent)),
      fact("Heap samples a second", text(samples, (v) => v.toFixed(1))),
      fact("Share of a processor for samples", text(samples, (v) => percent(v * 1e-4)), "At a microsecond each"));
  }
}

/** Adds the news and drops what is older than the server keeps. */
function add(kept, news) {
  const times = kept.times.concat(news.taken_unix_ms);
  const from = times.findIndex((t) => t > times.at(-1) - news.keeps_s * 1000);
  kept.times = times.slice(Math.max(0, from));
  for (const [name, values] of Object.entries(news.columns)) {
    kept.columns[name] = (kept.columns[name] ?? []).concat(values).slice(-kept.times.length || undefined);
  }
}

/** Growth a millisecond between readings, times a factor. */
function rate(times, counter, factor) {
  return times.map((t, i) => {
    if (i === 0 || counter[i] === null || counter[i - 1] === null) return null;
    return Math.max(0, (counter[i] - counter[i - 1]) / (t - times[i - 1]) * factor);
  });
}

function tell(line, found) {
  const suspect = found.suspects[0];
  const [kind, text] = {
    leak: ["leak", `Leak: ${suspect?.site ?? found.tasks?.find((t) => t.leak)?.task ?? ""}`],
    no_leak: ["fine", "No leak found"],
    not_enough_evidence: ["open", "Leaks: not enough evidence yet"],
  }[found.verdict] ?? ["open", found.verdict];
  line.className = `verdict ${kind}`;
  line.hidden = false;
  line.replaceChildren(h("a", { href: link("leaks") }, text));
}
