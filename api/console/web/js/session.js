/**
 * Who is signed in. The access token is only in the memory of the tab. The refresh token is a cookie that scripts cannot
 * read, and it can be used once: so one tab renews the access token for all.
 */

import { signal, batch } from "./ui.js";
import { Problem, send } from "./http.js";
import { exclusively, onTold, tell } from "./tabs.js";
import { recall, remember } from "./storage.js";
import { bestLanguage, language, msg, speak } from "./texts.js";
import { zone } from "./times.js";

/** The part of its time after which an access token is renewed. */
const USED_SHARE = 0.9;
/** How long a start waits for the server before it goes on as without a connection. */
const PATIENCE_MS = 3000;

/** @type {{value: "starting"|"out"|"in"}} */
export const phase = signal("starting");
/** The profile of the person who is signed in, or null. */
export const profile = signal(null);
/** Why nobody is signed in any more, or an empty text. */
export const farewell = signal("");

let token = null;
let renewing = null;

/**
 * Finds out whether somebody is signed in. A browser in which nobody has signed in is not asked for a cookie. If the
 * server does not answer, the person who was signed in goes on with the profile that this device has kept; the token
 * comes with the connection.
 */
export async function start() {
  const kept = recall("profile");
  if (!kept) {
    phase.value = "out";
    return;
  }
  const timer = setTimeout(enter, PATIENCE_MS, kept);
  try {
    await renew(null);
  } catch (error) {
    if (!(error instanceof Problem && error.status === 401)) enter(kept);
  } finally {
    clearTimeout(timer);
  }
}

/** Signs in. Throws the problem if the API refuses. */
export async function signIn(identifier, password) {
  begin(await logIn(identifier, password));
}

/**
 * Registers an account, signs in, and keeps the language and the time zone of this browser in the new profile.
 * @param {{email: string, password: string, full_name?: string}} account
 * @param {{locale: string, timezone: string}} habits
 */
export async function register(account, habits) {
  await send("POST", "/api/v1/auth/register", { body: account, headers: { "Accept-Language": language.value } });
  const grant = await logIn(account.email, account.password);
  // The first page is shown afterwards, because it would be in English before.
  const headers = { Authorization: `Bearer ${grant.access_token}` };
  const user = await send("PATCH", "/api/v1/auth/me", { body: habits, headers }).then(({ data }) => data, () => grant.user);
  begin({ ...grant, user });
}

async function logIn(identifier, password) {
  const { data } = await send("POST", "/api/v1/auth/login", {
    body: { [identifier.includes("@") ? "email" : "username"]: identifier, password },
    headers: { "Accept-Language": language.value },
  });
  return data;
}

function begin(grant) {
  adopt(grant);
  tell("signed-in", grant.user.id);
}

/** Ends the session on the server and in all tabs. */
export async function signOut() {
  try {
    await send("POST", "/api/v1/auth/logout", { headers: { Authorization: `Bearer ${await accessToken()}` } });
  } catch (error) {
    if (!(error instanceof Problem && error.status === 401)) throw error;
  }
  end(msg("You have signed out."));
  tell("signed-out", msg("You have signed out."));
}

/** Forgets the session, because it has ended. */
export function end(reason) {
  token = null;
  remember("profile", undefined);
  batch(() => {
    profile.value = null;
    farewell.value = reason;
    phase.value = "out";
  });
}

/** Forgets the session in all tabs, because the server has ended it. */
export function endEverywhere(reason) {
  end(reason);
  tell("signed-out", reason);
}

/** Returns an access token that is still valid for a while. */
export async function accessToken() {
  if (!token || Date.now() > token.renewAt) await renew(token?.value ?? null);
  return token.value;
}

/**
 * Replaces an access token that is not accepted any more, or returns at once if another tab has done so meanwhile.
 * @param {string|null} stale the token that was refused
 */
export function renew(stale) {
  renewing ??= exclusively("refresh", async () => {
    if (token && token.value !== stale) return;
    try {
      const { data } = await send("POST", "/api/v1/auth/refresh");
      adopt(data);
      tell("token", token);
    } catch (error) {
      if (error instanceof Problem && error.status === 401) endEverywhere(msg("Your session has ended. Please sign in again."));
      throw error;
    }
  }).finally(() => (renewing = null));
  return renewing;
}

/** Takes over a changed profile, with its language and time zone. */
export function setProfile(changed) {
  profile.value = changed;
  remember("profile", changed);
  if (changed.timezone) zone.value = changed.timezone;
  if (changed.locale && bestLanguage([changed.locale]) !== language.value) void speak(bestLanguage([changed.locale]));
}

function adopt(grant) {
  token = { value: grant.access_token, renewAt: Date.now() + grant.expires_in * 1000 * USED_SHARE, userId: grant.user.id };
  enter(grant.user);
}

function enter(user) {
  batch(() => {
    setProfile(user);
    farewell.value = "";
    phase.value = "in";
  });
}

onTold("token", (renewed) => {
  if (profile.value?.id === renewed.userId) token = renewed;
});
onTold("signed-out", (reason) => {
  if (phase.value === "in") end(reason);
});
onTold("signed-in", (userId) => {
  if (profile.value && profile.value.id !== userId) location.reload();
  else if (!profile.value) void start();
});

