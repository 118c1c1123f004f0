/**
 * Where the reader is, in the part of the address after `#`: "#/list?status=todo". This part never reaches the server, so
 * no page of the console can be mistaken for an address of the API.
 */

import { signal } from "./ui.js";

/** The path as a list, as in ["tasks", "7"], and the parameters. */
export const route = signal(read());

window.addEventListener("hashchange", () => (route.value = read()));

function read() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").filter(Boolean), params: Object.fromEntries(new URLSearchParams(search)) };
}

/** Returns the address of a page. */
export function linkTo(path, params = {}) {
  const kept = Object.entries(params).filter(([, value]) => value !== "" && value !== undefined && value !== null);
  return `#/${path}${kept.length ? `?${new URLSearchParams(kept)}` : ""}`;
}

/** Goes to a page. With `replace`, the way back leads past the present one. */
export function go(path, params = {}, { replace = false } = {}) {
  if (replace) {
    history.replaceState(null, "", linkTo(path, params));
    route.value = read();
  } else {
    location.hash = linkTo(path, params);
  }
}

/** Changes some parameters of the present page; an empty value removes one. */
export function setParams(changed) {
  const { path, params } = route.peek();
  go(path.join("/"), { ...params, ...changed }, { replace: true });
}
