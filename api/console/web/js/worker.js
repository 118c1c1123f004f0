/** Lets the browser keep the console, so that it opens without a connection. */

const ADDRESS = "/console/worker.js";

/**
 * Registers the service worker. Where the browser has none, as in pages that came over plain HTTP from another machine,
 * or refuses it, everything works but opening the console without a connection.
 */
export function keepConsole() {
  // The policy of the page accepts the address of a worker only from this one source, which knows no other address.
  const source = window.trustedTypes?.createPolicy("worker", { createScriptURL: () => ADDRESS });
  const options = { scope: "/", updateViaCache: "none" };
  navigator.serviceWorker?.register(source?.createScriptURL(ADDRESS) ?? ADDRESS, options).catch(() => {});
}
