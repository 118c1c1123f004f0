/** What the browser keeps between visits. What it refuses to keep stays in the memory of this page. */

const PREFIX = "allweather.";

/** What the browser has not kept, because it forbids it or its storage is full. */
const memory = new Map();

/** Returns the value that was kept under a name, or undefined. */
export function recall(name) {
  if (memory.has(name)) return memory.get(name);
  try {
    const text = localStorage.getItem(PREFIX + name);
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Keeps a value; undefined removes it. */
export function remember(name, value) {
  memory.delete(name);
  try {
    if (value === undefined) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    if (value !== undefined) memory.set(name, value);
  }
}

/** Returns the names under which values are kept that begin with a prefix, in their order. */
export function namesWith(prefix) {
  const names = new Set([...memory.keys(), ...storedNames()]);
  return [...names].filter((name) => name.startsWith(prefix)).sort();
}

function storedNames() {
  try {
    const keys = Object.keys(localStorage);
    return keys.filter((key) => key.startsWith(PREFIX)).map((key) => key.slice(PREFIX.length));
  } catch {
    return [];
  }
}
