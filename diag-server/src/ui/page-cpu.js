// CPU time: record for a while, then look. Recordings are kept in the process, so that a link to one stays good for a time.

import { get, post } from "./api.js";
import { h, problem, select, table } from "./dom.js";
import { ProfileView, typeName } from "./profile.js";
import { link, read } from "./route.js";
import { bytes, moment, seconds } from "./units.js";

export const title = "CPU";
export const heading = "CPU time";

export function show(body, parameters, signal) {
  const ask = { seconds: "10", hz: "99", mode: "cpu" };
  const start = h("button", { type: "button", class: "main", onclick: record }, "Record");
  const stop = h("button", { type: "button", hidden: true }, "Stop");
  const bar = h("progress", { max: "1", value: 0, "aria-label": "Recording" });
  const left = h("span", { class: "soft", role: "status" });
  const progress = h("div", { class: "bar", hidden: true }, bar, left);
  const trouble = h("div");
  const earlier = h("details", {}, h("summary", {}, "Recordings"), h("div"));
  const hint = h("p", { class: "soft" },
    "Nothing is sampled until you record. CPU time shows which code computes; wall-clock time shows where threads wait, too.");
  const view = new ProfileView({ page: "cpu", signal, front: (data) => front(data) });
  body.append(h("div", { class: "bar" },
    select("Seconds", ["2", "5", "10", "30", "60"].map((n) => [n, n]), ask.seconds, (v) => { ask.seconds = v; }),
    select("Time", [["cpu", "CPU time"], ["wall", "wall-clock time"]], ask.mode, (v) => { ask.mode = v; }),
    select("Samples a second and thread", ["19", "99", "499"].map((n) => [n, n]), ask.hz, (v) => { ask.hz = v; }),
    start, stop), progress, trouble, hint, earlier, view.element);

  let list = [];

  function front(data) {
    const types = (data?.types ?? []).map((t) => [t, typeName(t)]);
    const others = list.filter((one) => `kept:${one.id}` !== view.chosen.of);
    return [
      select("Shown", types, data?.type ?? "", (type) => view.choose({ type })),
      select("Compare with", [["", "nothing"], ...others.map((one) => [`kept:${one.id}`, name(one)])], view.chosen.base ?? "", (base) => view.choose({ base })),
    ];
  }

  async function record() {
    const ending = new AbortController();
    const end = () => ending.abort();
    signal.addEventListener("abort", end, { once: true });
    stop.onclick = end;
    busy(true);
    const length = Number(ask.seconds) * 1000;
    const began = performance.now();
    const timer = setInterval(() => {
      const done = performance.now() - began;
      bar.value = Math.min(1, done / length);
      left.textContent = done < length ? `${Math.ceil((length - done) / 1000)} s to go` : "Putting the samples together.";
    }, 200);
    try {
      const kept = await post("kept", { kind: "cpu", ...ask }, ending.signal);
      trouble.replaceChildren();
      await refresh();
      location.hash = link("cpu", { of: `kept:${kept.id}` });
    } catch (error) {
      if (!ending.signal.aborted) trouble.replaceChildren(problem(error, record));
    } finally {
      clearInterval(timer);
      busy(false);
    }
  }

  function busy(on) {
    start.disabled = on;
    stop.hidden = progress.hidden = !on;
    bar.value = 0;
    left.textContent = "";
  }

  async function refresh() {
    try {
      list = (await get("kept", {}, signal)).kept.filter((one) => one.kind === "cpu").reverse();
    } catch {
      return;
    }
    earlier.hidden = list.length === 0;
    earlier.firstChild.textContent = `Recordings kept (${list.length})`;
    earlier.lastChild.replaceChildren(table(["recorded", "n:length", "n:size"],
      list.map((one) => [h("a", { href: link("cpu", { of: `kept:${one.id}` }) }, moment(one.taken_unix_ms)), seconds(one.seconds ?? 0), bytes(one.bytes)])));
  }

  function update(next) {
    const chosen = read(next);
    view.element.hidden = !chosen.of;
    hint.hidden = Boolean(chosen.of);
    if (chosen.of) view.show(chosen);
  }

  earlier.hidden = true;
  refresh().then(() => { if (!signal.aborted && view.data) view.controls(); });
  update(parameters);
  return update;
}

function name(one) {
  return `${moment(one.taken_unix_ms)}, ${seconds(one.seconds ?? 0)}`;
}
