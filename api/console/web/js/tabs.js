/** What the tabs of one browser tell each other, and what only one of them does at a time. */

const channel = "BroadcastChannel" in window ? new BroadcastChannel("allweather") : null;
const listeners = new Map();

channel?.addEventListener("message", ({ data }) => {
  for (const listener of listeners.get(data.kind) ?? []) listener(data.value);
});

/** Tells something to all other tabs. */
export function tell(kind, value) {
  channel?.postMessage({ kind, value });
}

/** Calls a function with everything of a kind that another tab tells. */
export function onTold(kind, listener) {
  listeners.set(kind, [...(listeners.get(kind) ?? []), listener]);
}

/**
 * Does something while no other tab does the same, and returns its result. The browser releases the lock when a tab is
 * closed. Pages that came over plain HTTP from another machine have no locks; there each tab acts for itself.
 */
export function exclusively(name, work) {
  return navigator.locks ? navigator.locks.request(`allweather.${name}`, work) : work();
}

/** Returns a new random identifier. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
