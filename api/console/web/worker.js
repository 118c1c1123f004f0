/**
 * The service worker: it keeps the page and the files of one release of the console, so that the console opens without
 * a connection. It touches nothing else: requests to the API, downloads and all other pages go to the server as if
 * there were no worker. The server writes `RELEASE` in front of this script: the hash of the page, the address of the
 * files, and their paths.
 */

const PREFIX = "console.";
const CACHE = PREFIX + RELEASE.page;
const ADDRESSES = new Set(["/", ...RELEASE.files.map((path) => `${RELEASE.base}/${path}`)]);
/** How long the server may take to send the page before the kept one is shown, in milliseconds. */
const LONGEST_WAIT = 3000;

self.addEventListener("install", (event) => event.waitUntil(keepRelease()));
self.addEventListener("activate", (event) => event.waitUntil(forget((name) => name !== CACHE)));
self.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  const { origin, pathname } = new URL(url);
  if (method !== "GET" || origin !== location.origin || !ADDRESSES.has(pathname)) return;
  event.respondWith(pathname === "/" ? page(event.request) : file(event.request, pathname));
});

/** Keeps the page and all files, or fails if a process that has not been replaced yet sends one of an older release. */
async function keepRelease() {
  const cache = await caches.open(CACHE);
  const keep = async (address) => {
    // With the integrity, fetch() fails if the page is another one. Files come from the browser itself, which has most.
    const response = await fetch(address, address === "/" ? { integrity: RELEASE.page, cache: "no-cache" } : {});
    // A process of another release sends its own file, and says that it must not be kept under this address.
    const isOther = response.headers.get("Cache-Control")?.includes("no-store");
    if (!response.ok || isOther) throw new Error(`${address} is not of this release: ${response.status}`);
    await cache.put(address, response);
  };
  await Promise.all([...ADDRESSES].map(keep));
  // Addresses contain the release, so pages of the release before are not harmed when this one takes over at once.
  await self.skipWaiting();
}

async function forget(isUnwanted) {
  const names = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && isUnwanted(name));
  await Promise.all(names.map((name) => caches.delete(name)));
}

const kept = (address) => caches.match(address, { cacheName: CACHE, ignoreVary: true });

async function file(request, address) {
  return (await kept(address)) ?? fetch(request);
}

/** Returns the page of the server, which may be a newer one, or the kept one if the server sends none in time. */
async function page(request) {
  const before = await kept("/");
  if (!before) return fetch(request);
  const waiting = new AbortController();
  const timer = setTimeout(() => waiting.abort(), LONGEST_WAIT);
  try {
    const response = await fetch(request, { signal: waiting.signal });
    if (response.status === 404) await leave();
    return response.status < 500 ? response : before;
  } catch {
    return before;
  } finally {
    clearTimeout(timer);
  }
}

/** The server has no console any more, so nothing of it stays in the browser. */
async function leave() {
  await self.registration.unregister();
  await forget(() => true);
}
