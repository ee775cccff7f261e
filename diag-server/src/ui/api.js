// Requests to the server this page came from. All addresses are relative to the page, so that a path prefix does not matter.

/** An answer that is not 200: the server's text says what is wrong and what to do. */
export class Refused extends Error {
  constructor(status, text, retryAfter) {
    super(text);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** An absolute address. Values may be lists, for parameters that repeat. */
export function address(path, parameters = {}) {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) {
      if (one !== undefined && one !== null && one !== "") url.searchParams.append(name, one);
    }
  }
  return url;
}

async function ask(path, parameters, options) {
  let answer;
  try {
    answer = await fetch(address(path, parameters), { cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The process does not answer. It may have ended, or the connection to it.");
  }
  if (answer.ok) return answer;
  const text = (await answer.text()).trim();
  throw new Refused(answer.status, text || `The server answered ${answer.status}.`,
    Number(answer.headers.get("retry-after")) || null);
}

/** JSON of the API. */
export async function get(name, parameters, signal) {
  return (await ask(`api/v1/${name}`, parameters, { signal })).json();
}

/** The same by POST: what changes or keeps something. */
export async function post(name, parameters, signal) {
  return (await ask(`api/v1/${name}`, parameters, { signal, method: "POST" })).json();
}

/** Waits; ends early when the page is left. */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    const done = () => { clearTimeout(timer); resolve(); };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
}

/** Resolves when somebody looks at the page. */
export function seen(signal) {
  return new Promise((resolve) => {
    if (!document.hidden) return resolve();
    const look = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look, { once: true });
  });
}

/** Does something again and again while the page is shown and looked at. `work` gives the milliseconds until the next time. */
export async function often(signal, work) {
  while (!signal.aborted) {
    await seen(signal);
    if (signal.aborted) return;
    await pause(await work(), signal);
  }
}
