/** Keys that work everywhere. A page adds its own while it is shown. */

import { useEffect } from "./ui.js";

const bindings = [];

/**
 * Binds keys while a component is shown.
 * @param {Record<string, (event: KeyboardEvent) => void>} keys functions by key, such as "n", "?" or "ctrl+z"
 */
export function useKeys(keys) {
  useEffect(() => {
    bindings.push(keys);
    return () => bindings.splice(bindings.indexOf(keys), 1);
  });
}

const isTyping = ({ target }) => target.closest?.("input, textarea, select, [contenteditable]") !== null;

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || isTyping(event) || document.querySelector("dialog[open]")) return;
  const withControl = event.ctrlKey || event.metaKey;
  if (event.altKey) return;
  const name = (withControl ? "ctrl+" : "") + (event.key.length === 1 ? event.key.toLowerCase() : event.key);
  const binding = bindings.findLast((keys) => keys[name]);
  if (!binding) return;
  event.preventDefault();
  binding[name](event);
});
