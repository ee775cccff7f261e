// The heap, live: what is in use or was allocated, by whom; and against a baseline that somebody marked.

import { get, post } from "./api.js";
import { choice, h, problem, select } from "./dom.js";
import { ProfileView } from "./profile.js";
import { read } from "./route.js";
import { ago, clock } from "./units.js";

export const title = "Heap";

const PAGE = "heap";

export function show(body, parameters, signal) {
  let marks = [];
  const view = new ProfileView({ page: PAGE, signal, front });
  const trouble = h("div");
  body.append(trouble, view.element);

  function front(data) {
    const type = data?.type ?? view.chosen.type ?? "inuse_space";
    const [when, what] = type.split("_");
    return [
      choice("Which memory", [["inuse", "In use"], ["alloc", "Allocated since the start"]], when, (v) => view.choose({ type: `${v}_${what}` })),
      choice("Counted in", [["space", "Bytes"], ["objects", "Objects"]], what, (v) => view.choose({ type: `${when}_${v}` })),
      select("Compare with", bases(), view.chosen.base ?? "", (base) => view.choose({ base })),
      h("button", { type: "button", onclick: mark, title: "Keeps the heap as it is now; the picture then shows what changed since" }, "Mark a baseline"),
    ];
  }

  function bases() {
    const options = [["", "nothing"], ...marks.map((m) => [`kept:${m.id}`, `${clock(m.taken_unix_ms)} UTC, ${ago(m.taken_unix_ms)}`])];
    const { base } = view.chosen;
    if (base && !options.some(([value]) => value === base)) options.push([base, base.replace(/^file:/, "")]);
    return options;
  }

  async function mark() {
    try {
      const kept = await post("kept", { kind: "heap" }, signal);
      await list();
      trouble.replaceChildren();
      view.choose({ base: `kept:${kept.id}`, zoom: "" });
    } catch (error) {
      if (!signal.aborted) trouble.replaceChildren(problem(error));
    }
  }

  async function list() {
    try {
      marks = (await get("kept", {}, signal)).kept.filter((one) => one.kind === "heap").reverse();
    } catch {
      // The picture says what is wrong.
    }
  }

  const update = (next) => view.show(read(next));
  list().then(() => { if (!signal.aborted && view.data) view.controls(); });
  update(parameters);
  return update;
}
