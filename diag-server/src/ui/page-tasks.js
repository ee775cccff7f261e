// The async tasks, by the code that spawns them: what they do, and which never end.

import { address, get, often } from "./api.js";
import { fact, h, problem, table } from "./dom.js";
import { count, percent, seconds } from "./units.js";

export const title = "Tasks";
export const heading = "Async tasks";

const MOST_ROWS = 200;
const EVERY_MS = 10_000;
const KINDS = { stuck: "leak", retrying: "leak", growing: "leak", probably_stuck: "open", blocking: "open", starved: "open" };

export function show(body, _parameters, signal) {
  const trouble = h("div");
  const place = h("div");
  const held = h("input", { type: "checkbox" });
  body.append(
    h("div", { class: "bar" }, h("label", { class: "field" }, h("span", {}, "Hold the page still"), held),
      h("span", { class: "soft" }, "A look costs some 100 µs for each 1,000 tasks, and is taken twice, 50 ms apart; every 10 s.")),
    trouble, place);
  often(signal, async () => {
    if (held.checked && place.childElementCount) return 1000;
    try {
      draw(place, await get("tasks", {}, signal));
      trouble.replaceChildren();
    } catch (error) {
      if (signal.aborted) return 0;
      trouble.replaceChildren(problem(error));
    }
    return EVERY_MS;
  });
}

function draw(place, report) {
  const { totals, coverage } = report;
  const rows = report.sites.slice(0, MOST_ROWS);
  place.replaceChildren(
    h("dl", { class: "numbers" },
      fact("Alive", count(totals.live)), fact("Spawned since the start", count(totals.spawned)), fact("Over", count(totals.ended)),
      fact("Seen", coverage ? `${percent(coverage.share * 100)} of tokio's ${count(coverage.alive)}` : "share not known",
        "Tasks that tokio::spawn starts are not seen, unless the program is built with tokio_unstable and diag's hooks are set")),
    rows.length
      ? table(["n:alive", "n:more an hour", "n:median age", "n:median wait", "n:polls", "n:in polls", "n:longest poll", "verdict", "task"],
        rows.map(row), `Sites that spawn, the worst first, as of ${new Date(report.taken_unix_ms).toISOString().slice(11, 19)} UTC`)
      : h("p", {}, "No task is tracked. Spawn with ", h("code", {}, "diag::spawn"), " in place of ", h("code", {}, "tokio::spawn"),
        " (feature ", h("code", {}, "tokio"), " of diag); until then the text below estimates them from the samples of the heap."),
    report.sites.length > rows.length || report.more
      ? h("p", { class: "soft" }, `${count(report.sites.length - rows.length + (report.more ?? 0))} more sites are in the JSON.`) : "",
    ...rows.filter((site) => site.verdict !== "ok").map(card),
    losses(report.losses),
    h("p", { class: "links" }, h("a", { href: address("../pprof/taskleak", { debug: 1 }), target: "_blank", rel: "noopener" }, "Tasks that leak, each"),
      h("a", { href: address("../pprof/tasks", { debug: 2 }), target: "_blank", rel: "noopener" }, "All tasks, each"),
      h("a", { href: address("../pprof/tasks", { debug: 1 }), target: "_blank", rel: "noopener" }, "grouped"),
      h("a", { href: address("api/v1/tasks"), download: "tasks.json" }, "Report as JSON"),
      h("a", { href: address("../pprof/tasks"), download: "tasks.pb.gz" }, "as pprof")));
}

function row(site) {
  return [
    count(site.live), site.growth_per_hour === null ? "" : `+${count(site.growth_per_hour)}`, seconds(site.age_s.p50), seconds(site.idle_s.p50),
    count(site.polls), seconds(site.busy_s), seconds(site.longest_poll_s), words(site.verdict),
    h("span", { class: "name" }, named(site), " ", h("span", { class: "soft" }, site.site)),
  ];
}

function card(site) {
  return h("article", { class: `card ${KINDS[site.verdict] ?? "open"}` },
    h("h2", {}, h("span", { class: "word" }, words(site.verdict)), " ", h("code", {}, named(site))),
    h("p", {}, `${site.reason.charAt(0).toUpperCase()}${site.reason.slice(1)}.`),
    h("p", { class: "soft" }, `Spawned at ${site.site}.`));
}

function named(site) {
  return site.name ? `"${site.name}" ${site.future}` : site.future;
}

function words(verdict) {
  return verdict.replaceAll("_", " ");
}

function losses(list) {
  const found = Object.entries(list);
  return found.length ? h("p", { class: "soft" }, "Lost: ", found.map(([what, n]) => `${what.replaceAll("_", " ")} ${count(n)}`).join(", "), ".") : "";
}
