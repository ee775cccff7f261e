// The files of the capture directory: what the service saved by itself, and why. Open, compare, download.

import { address, get } from "./api.js";
import { h, problem, select, table, waiting } from "./dom.js";
import { ProfileView, plain, typeName } from "./profile.js";
import { go, link, read } from "./route.js";
import { bytes, clock, count, moment } from "./units.js";

export const title = "Captures";

/** Rows at first; a directory may have thousands. */
const FEW = 30;

export function show(body, parameters, signal) {
  const list = h("div");
  const files = h("details", { open: true }, h("summary", {}, "Files"), list);
  const text = h("div");
  const view = new ProfileView({ page: "captures", signal, front: (data) => front(data) });
  body.append(files, text, view.element);
  let found = null;
  let all = false;

  function front(data) {
    const same = profiles().filter((c) => `file:${c.name}` !== view.chosen.of);
    const options = [["", "nothing"], ...same.map((c) => [`file:${c.name}`, `${moment(c.modified_unix_ms)}, ${c.kind}`])];
    if ((view.chosen.of ?? "").startsWith("file:heap")) options.push(["live", "the process now"]);
    const opened = profiles().find((c) => `file:${c.name}` === view.chosen.of);
    return [
      h("div", {}, h("b", {}, (view.chosen.of ?? "").replace(/^file:/, "")), opened?.reason && because(opened)),
      select("Shown", (data?.types ?? []).map((t) => [t, typeName(t)]), data?.type ?? "", (type) => view.choose({ type })),
      select("Compare with", options, view.chosen.base ?? "", (base) => view.choose({ base })),
    ];
  }

  function profiles() {
    return (found?.captures ?? []).filter((c) => c.name.endsWith(".pb.gz"));
  }

  async function refresh() {
    list.replaceChildren(waiting("Reading the directory."));
    try {
      found = await get("captures", {}, signal);
      draw();
      if (view.data) view.controls();
    } catch (error) {
      if (!signal.aborted) list.replaceChildren(problem(error, refresh));
    }
  }

  function draw() {
    if (!found.dir) {
      list.replaceChildren(h("p", {}, "No capture directory is set. With ", h("code", {}, "DIAG_CAPTURE_DIR=dir"),
        " the service saves its heap and its memory there every few seconds, and ", h("code", {}, "diag-cli leaks dir"), " judges them when it is gone."));
      return;
    }
    const shown = found.captures.slice(0, all ? undefined : FEW);
    const chosen = read(new URLSearchParams(location.hash.split("?")[1] ?? ""));
    files.firstChild.replaceChildren(`${count(found.captures.length)} files in `, h("code", {}, found.dir),
      found.left_out ? `, the newest; ${count(found.left_out)} older ones are not listed` : "");
    list.replaceChildren(
      h("div", { class: "bar" },
        h("button", { type: "button", onclick: refresh }, "Look again"),
        h("button", { type: "button", disabled: profiles().filter((c) => c.kind === "heap").length < 2, onclick: span }, "Compare the first heap with the last")),
      table(["saved", "kind", "n:size", "because", "file", "", ""], shown.map((c) => [
        h("span", { class: "when" }, c.modified_unix_ms === null ? "-" : moment(c.modified_unix_ms)), c.kind, bytes(c.bytes), because(c), h("code", {}, c.name), opening(c, chosen),
        h("a", { href: address(`api/v1/captures/${encodeURIComponent(c.name)}`), download: c.name }, "download")])),
      shown.length < found.captures.length ? h("button", { type: "button", onclick: () => { all = true; draw(); } }, `Show all ${count(found.captures.length)}`) : "");
  }

  function opening(c, { of }) {
    if (c.name.endsWith(".json")) return h("a", { href: link("captures", { show: c.name }) }, "open");
    if (!c.name.endsWith(".pb.gz")) return "";
    const open = h("a", { href: link("captures", { of: `file:${c.name}` }) }, "open");
    if (!of || of === `file:${c.name}`) return open;
    return [open, " ", h("a", { href: link("captures", { of, base: `file:${c.name}` }), title: "Compare the open one with this" }, "compare")];
  }

  function span() {
    const heaps = profiles().filter((c) => c.kind === "heap");
    go("captures", { of: `file:${heaps[0].name}`, base: `file:${heaps.at(-1).name}` });
  }

  async function open(name) {
    text.replaceChildren(waiting(`Reading ${name}.`));
    try {
      const content = await (await fetch(address(`api/v1/captures/${encodeURIComponent(name)}`), { signal })).json();
      text.replaceChildren(h("h2", {}, name), h("pre", {}, JSON.stringify(content, null, 2)));
    } catch (error) {
      if (!signal.aborted) text.replaceChildren(problem(error));
    }
  }

  function update(next) {
    const chosen = read(next);
    view.element.hidden = !chosen.of;
    // What is open has the page; the list is one click away.
    files.open = !chosen.of && !chosen.show;
    text.replaceChildren();
    if (chosen.show) open(chosen.show);
    if (chosen.of) view.show(chosen);
    if (found) draw();
  }

  refresh();
  update(parameters);
  return update;
}

/** Which rule asked for it, why and when; what came by the clock needs no reason. */
function because({ reason }) {
  if (!reason) return "";
  const { rule, why, fired_unix_ms: fired, problems } = reason;
  return h("div", { class: "because" },
    h("p", {}, h("b", {}, rule), why === null ? ": its event cannot be read" : `: ${plain(why)}`,
      fired !== null && h("span", { class: "soft", title: moment(fired) }, ` (${clock(fired)} UTC)`)),
    problems.map((text) => h("p", { class: "soft" }, `not done: ${plain(text)}`)));
}
