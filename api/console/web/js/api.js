/** Requests in the name of the person who is signed in. */

import { Problem, Unreachable, parse, send, unreachable } from "./http.js";
import { accessToken, renew } from "./session.js";
import { language } from "./texts.js";
import { newId } from "./tabs.js";

const PREFIX = "/api/v1";
const LONGEST_PAUSE_SECONDS = 15;

/**
 * Sends a request and returns the body of its response. A token that has expired is renewed, and the request is sent
 * again.
 * @param {string} method
 * @param {string} path below `/api/v1`, or a whole path that begins with `/user/`
 * @param {{body?: unknown, key?: string, version?: number}} [options] `key` is an `Idempotency-Key`, `version` the
 *     version of the task that the change is based on
 */
export async function call(method, path, { body, key, version } = {}) {
  const address = path.startsWith("/user/") ? path : PREFIX + path;
  const attempt = async () => {
    const token = await accessToken();
    const headers = { Authorization: `Bearer ${token}`, "Accept-Language": language.value };
    if (key) headers["Idempotency-Key"] = key;
    if (version) headers["If-Match"] = `"${version}"`;
    try {
      return { response: await send(method, address, { body, headers }) };
    } catch (error) {
      if (!(error instanceof Problem && error.status === 401)) throw error;
      return { stale: token };
    }
  };
  const first = await attempt();
  if (first.response) return first.response.data;
  await renew(first.stale);
  const second = await attempt();
  if (second.response) return second.response.data;
  throw new Unreachable();
}

/** Reads something. After too many requests it waits as long as the server says, if that is short, and reads again. */
export async function get(path) {
  try {
    return await call("GET", path);
  } catch (error) {
    const pause = error instanceof Problem && error.status === 429 ? error.retryAfter : null;
    if (pause === null || pause > LONGEST_PAUSE_SECONDS) throw error;
    await new Promise((resolve) => setTimeout(resolve, pause * 1000));
    return call("GET", path);
  }
}

export const post = (path, body, options = {}) => call("POST", path, { body, ...options });
export const patch = (path, body, options = {}) => call("PATCH", path, { body, ...options });
export const put = (path, body) => call("PUT", path, { body });
export const remove = (path, options = {}) => call("DELETE", path, options);

/** Returns the query of an address, without the values that are missing. */
export function query(values) {
  const present = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return present.length ? `?${new URLSearchParams(present)}` : "";
}

/**
 * Uploads a file and tells its progress.
 * @param {(share: number) => void} onProgress is called with the part that was sent, from 0 to 1
 * @returns {Promise<object>} the attachment
 */
export async function upload(path, file, onProgress) {
  const token = await accessToken();
  const form = new FormData();
  form.append("file", file);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", PREFIX + path);
    request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.setRequestHeader("Accept-Language", language.value);
    request.setRequestHeader("Idempotency-Key", newId());
    request.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 0);
    request.onerror = () => reject(new Unreachable());
    request.onload = () => {
      const data = parse(request.responseText);
      if (request.status === 201) resolve(data);
      else reject(new Problem(request.status, data ?? {}, null));
    };
    request.send(form);
  });
}

/** Reads a file, such as one of a task, and lets the browser save it. */
export async function download(path, filename) {
  const token = await accessToken();
  const response = await fetch(PREFIX + path, { headers: { Authorization: `Bearer ${token}` } }).catch(unreachable);
  if (!response.ok) throw new Problem(response.status, parse(await response.text()) ?? {}, null);
  save(await response.blob().catch(unreachable), filename);
}

/** Lets the browser save some data as a file. */
export function save(blob, filename) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = filename;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
