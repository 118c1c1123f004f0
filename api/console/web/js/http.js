/** Requests to the API, and what can go wrong with them. */

/** The API refused a request, and says why. */
export class Problem extends Error {
  constructor(status, document, retryAfter) {
    super(document.detail || document.title || `${status}`);
    this.status = status;
    this.code = document.code ?? "";
    /** What is wrong with single fields: a message for each name of a field. */
    this.fields = Object.fromEntries((document.errors ?? []).map(({ field, message }) => [field, message]));
    /** How many seconds to wait before the next attempt, or null. */
    this.retryAfter = retryAfter;
  }
}

/** No response came: the connection is broken, or the server is not there. */
export class Unreachable extends Error {}

/** Says that no response came, or only a part of one, in place of the error of the browser. */
export function unreachable() {
  throw new Unreachable();
}

/** Returns whether a request may succeed later, although it has failed now. */
export function isTemporary(error) {
  return error instanceof Unreachable || (error instanceof Problem && (error.status === 429 || error.status >= 500));
}

/**
 * Sends a request and returns its response.
 * @param {string} method
 * @param {string} path
 * @param {{body?: unknown, headers?: Record<string, string>}} [options]
 * @returns {Promise<{data: any, headers: Headers}>}
 */
export async function send(method, path, { body, headers = {} } = {}) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: { ...headers, ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(20_000),
    });
  } catch {
    throw new Unreachable();
  }
  const text = await response.text().catch(unreachable);
  const data = parse(text);
  if (response.ok) return { data, headers: response.headers };
  const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  throw new Problem(response.status, data ?? {}, Number.isNaN(seconds) ? null : seconds);
}

/** Returns a JSON document, or null if the text is none: a proxy may answer in place of the API. */
export function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
