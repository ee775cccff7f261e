// Which page is shown: the part of the address after `#` says it, with all that was chosen on it, so that every view has a link
// that brings it back.

import { get, often } from "./api.js";
import { h, problem } from "./dom.js";
import * as captures from "./page-captures.js";
import * as cpu from "./page-cpu.js";
import * as heap from "./page-heap.js";
import * as leaks from "./page-leaks.js";
import * as memory from "./page-memory.js";
import * as overview from "./page-overview.js";
import * as status from "./page-status.js";
import * as tasks from "./page-tasks.js";

const PAGES = { overview, heap, leaks, cpu, tasks, memory, captures, status };

const main = document.getElementById("main");
const nav = document.getElementById("nav");
let current = null;

nav.append(h("ul", {}, Object.entries(PAGES).map(([name, page]) =>
  h("li", {}, h("a", { href: `#/${name}`, "data-page": name }, page.title)))));

function place() {
  const [, name = "", query = ""] = location.hash.match(/^#\/?([^?]*)\??(.*)$/) ?? [];
  return { name: name in PAGES ? name : "overview", parameters: new URLSearchParams(query) };
}

function show() {
  const { name, parameters } = place();
  if (current?.name === name && current.update) {
    current.update(parameters);
    return;
  }
  current?.ending.abort();
  const ending = new AbortController();
  const page = PAGES[name];
  const heading = h("h1", { tabindex: "-1" }, page.heading ?? page.title);
  const body = h("div", { class: "page" });
  main.replaceChildren(heading, body);
  document.title = `${page.title} - ${service.textContent}`;
  for (const link of nav.querySelectorAll("a")) {
    if (link.dataset.page === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (current) heading.focus({ preventScroll: true });
  window.scrollTo(0, 0);
  nav.querySelector("[aria-current]").scrollIntoView({ block: "nearest", inline: "nearest" });
  current = { name, ending };
  try {
    current.update = page.show(body, parameters, ending.signal);
  } catch (error) {
    body.append(problem(error));
    throw error;
  }
}

const service = document.getElementById("service");
const offline = document.getElementById("offline");

/** Who is looked at, and whether it still answers. */
async function follow() {
  let pid = null;
  await often(new AbortController().signal, async () => {
    try {
      const now = await get("status");
      service.textContent = now.config.service_name;
      document.getElementById("process").textContent = `process ${now.pid}`;
      document.title = `${PAGES[current?.name ?? "overview"].title} - ${now.config.service_name}`;
      if (pid !== null && pid !== now.pid) location.reload();
      pid = now.pid;
      offline.hidden = true;
    } catch (error) {
      offline.hidden = false;
      offline.textContent = error.message;
    }
    return 15_000;
  });
}

document.querySelector(".skip").addEventListener("click", (event) => {
  // The address belongs to the pages.
  event.preventDefault();
  main.focus();
});
window.addEventListener("hashchange", show);
show();
follow();
