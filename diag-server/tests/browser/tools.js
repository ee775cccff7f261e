// Acts in the frame as a user does.
const seen = { errors: [] };
const frame = document.querySelector("iframe");
const page = () => frame.contentDocument;
const $ = (selector) => page().querySelector(selector);
const all = (selector) => [...page().querySelectorAll(selector)];
const text = (selector) => $(selector)?.textContent ?? "";
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what, test) {
  for (let i = 0; i < 2400; i += 1) {
    const found = test();
    if (found) return found;
    await sleep(50);
  }
  throw new Error(`never: ${what}; ${hash()}: ${problems()} ${text("figcaption")} ${text("main").slice(0, 300)}`);
}

/** Opens a view in a new document, and waits until it stands still. */
async function open(view) {
  frame.src = "about:blank";
  await until("a blank page", () => frame.contentWindow.location.href === "about:blank");
  frame.src = `./#/${view}`;
  await until("the page", () => page()?.querySelector("main h1") && page().readyState === "complete");
  frame.contentWindow.addEventListener("error", (e) => seen.errors.push(e.message));
  frame.contentWindow.addEventListener("unhandledrejection", (e) => seen.errors.push(String(e.reason)));
  await still();
}

async function still() {
  await sleep(300);
  await until("an answer", () => !all(".waiting").some((n) => n.checkVisibility()));
  // Sizes are known to the page with the next picture only.
  await until("the charts", () => all("svg.chart").every((chart) => chart.children.length || !chart.checkVisibility()));
}

function button(name) {
  const found = all("button").find((b) => b.textContent === name);
  if (!found) throw new Error(`no button ${name}`);
  return found;
}

function key(node, name) {
  node.dispatchEvent(new frame.contentWindow.KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
}

function type(node, value) {
  node.value = value;
  node.dispatchEvent(new Event("input", { bubbles: true }));
}

const hash = () => decodeURIComponent(frame.contentWindow.location.hash);
const problems = () => all(".problem").map((n) => n.textContent);

async function run(script) {
  try {
    await script();
  } catch (error) {
    seen.errors.push(String(error.stack ?? error));
  }
  // Nothing is asked for any more, so that the rest of the time passes at once.
  frame.src = "about:blank";
  document.documentElement.setAttribute("data-seen", encodeURIComponent(JSON.stringify(seen)));
}
