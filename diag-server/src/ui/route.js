// What a page has chosen, in the address.

/** The parameters as a plain object; `label` is a list. */
export function read(parameters) {
  const found = {};
  for (const [name, value] of parameters) {
    if (name === "label") (found.label ??= []).push(value);
    else found[name] = value;
  }
  return found;
}

/** The address of a page with these choices; empty ones are left out. */
export function link(page, chosen = {}) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(chosen)) {
    for (const one of [value].flat()) {
      if (one !== undefined && one !== null && one !== "" && one !== false) parameters.append(name, one);
    }
  }
  const query = parameters.toString();
  return `#/${page}${query && `?${query}`}`;
}

/** Goes there: a step back leads to what was chosen before. */
export function go(page, chosen) {
  location.hash = link(page, chosen);
}

/** Says the same without a step: for what is typed. */
export function note(page, chosen) {
  history.replaceState(null, "", link(page, chosen));
}
