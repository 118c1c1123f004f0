/** What the browser keeps between visits. Where it forbids this, everything works for as long as the page is open. */

const PREFIX = "allweather.";
const memory = new Map();

/** Returns the value that was kept under a name, or undefined. */
export function recall(name) {
  try {
    const text = localStorage.getItem(PREFIX + name);
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return memory.get(name);
  }
}

/** Keeps a value; undefined removes it. */
export function remember(name, value) {
  memory.set(name, value);
  try {
    if (value === undefined) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // The value stays in the memory of this page.
  }
}

/** Returns the names under which values are kept that begin with a prefix, in their order. */
export function namesWith(prefix) {
  try {
    const names = Object.keys(localStorage).filter((name) => name.startsWith(PREFIX + prefix));
    return names.map((name) => name.slice(PREFIX.length)).sort();
  } catch {
    return [...memory.keys()].filter((name) => name.startsWith(prefix) && memory.get(name) !== undefined).sort();
  }
}
