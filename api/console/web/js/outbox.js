/**
 * The changes that are on their way to the server. Each is kept in the storage of the browser before it is sent, and
 * removed when the server has confirmed it. So nothing is lost without a connection or when the page is closed, and
 * nothing is done twice: what creates something has an `Idempotency-Key`, and what changes a task names its version.
 */

import { batch, computed, effect, signal } from "./ui.js";
import { call } from "./api.js";
import { Problem, isTemporary } from "./http.js";
import { decidedBy, reconcile } from "./merge.js";
import { profile } from "./session.js";
import { namesWith, recall, remember } from "./storage.js";
import { exclusively, newId, onTold, tell } from "./tabs.js";

/** Seconds between two attempts without a connection. */
const RETRY_SECONDS = 3;
/** How many changes the API takes in one request. */
const LARGEST_BATCH = 100;

/**
 * A change that waits.
 * @typedef {object} Change
 * @property {string} id sorts changes by the time at which they were made
 * @property {string} key the `Idempotency-Key`
 * @property {"create"|"update"|"delete"|"comment"} kind
 * @property {number} taskId negative for a task that the server does not know yet
 * @property {Record<string, unknown>} [fields] the new values
 * @property {Record<string, unknown>} [base] the values before
 * @property {number} [version] the version that the change is based on
 * @property {string} at when it was made
 * @property {number} [notBefore] the time until which it can be taken back
 * @property {string} [refusal] why the server has refused it
 */

/** All changes that wait, the oldest first. @type {{value: Change[]}} */
export const waiting = signal([]);
/** Those that the server has refused; they are kept until the person decides. */
export const refused = computed(() => waiting.value.filter((change) => change.refusal));
/** How many are still to be sent. */
export const unsent = computed(() => waiting.value.filter((change) => !change.refusal).length);
/** The conflicts to decide: `{change, theirs, fields}`. */
export const conflicts = signal([]);

const handlers = { confirmed: () => {}, renumbered: () => {} };
const outcomes = new Map();
let isSending = false;
let timer = null;

/**
 * Says what to do with what the server confirms.
 * @param {{confirmed: (change: Change, task: object|null) => void, renumbered: (from: number, to: number) => void}} given
 */
export function handleOutcomes(given) {
  Object.assign(handlers, given);
}

/**
 * Takes a change and sends it as soon as possible.
 * @returns {Promise<"confirmed"|"waiting">} "waiting" if there is no connection; throws the problem if it was refused
 *     at once
 */
export function submit(kind, taskId, details) {
  const at = new Date();
  const change = { id: `${at.getTime()}-${newId()}`, key: newId(), kind, taskId, at: at.toISOString(), ...details };
  keep(change);
  const outcome = new Promise((resolve, reject) => outcomes.set(change.id, { resolve, reject }));
  void flush();
  return outcome;
}

/** Forgets a change that was not sent. Returns false if it is on its way already. */
export function withdraw(predicate) {
  const change = waiting.value.findLast(predicate);
  if (!change || inFlight.includes(change.id)) return false;
  drop(change.id);
  return true;
}

/** Forgets a change. */
export function drop(id) {
  outcomes.delete(id);
  remember(nameOf(id), undefined);
  reload();
  tell("outbox", null);
}

/** Sends a refused change again. */
export function tryAgain(id) {
  const change = recall(nameOf(id));
  if (!change) return;
  delete change.refusal;
  keep(change);
  void flush();
}

/** Decides a conflict: sets the chosen values on top of what the task is now. */
export function decide({ change, theirs }, chosen) {
  conflicts.value = conflicts.value.filter((conflict) => conflict.change.id !== change.id);
  const { left } = reconcile(theirs, chosen, theirs);
  handlers.confirmed(null, theirs);
  if (Object.keys(left).length === 0) {
    settle(change.id);
    return;
  }
  const base = Object.fromEntries(decidedBy(Object.keys(left)).map((field) => [field, theirs[field] ?? null]));
  keep({ ...change, fields: left, base, version: theirs.version });
  void flush();
}

let inFlight = [];

/** Sends what waits, one after the other, until nothing is left or the connection is broken. */
export async function flush() {
  if (isSending || !profile.peek()) return;
  isSending = true;
  clearTimeout(timer);
  try {
    // Only one tab sends, so that changes keep their order and none is sent by two tabs.
    await exclusively("outbox", async () => {
      for (let changes = next(); changes.length; changes = next()) {
        inFlight = changes.map(({ id }) => id);
        if (await deliver(changes)) continue;
        // The connection is broken, so all that is left waits for the next attempt.
        for (const { id } of waiting.value) outcomes.get(id)?.resolve("waiting");
        break;
      }
    });
  } finally {
    inFlight = [];
    isSending = false;
  }
  scheduleNext();
}

function scheduleNext() {
  const open = waiting.value.filter(isOpen);
  if (open.length === 0) return;
  const now = Date.now();
  const due = Math.min(...open.map((change) => change.notBefore ?? 0));
  timer = setTimeout(flush, due > now ? due - now : RETRY_SECONDS * 1000);
}

function isOpen(change) {
  return !change.refusal && !conflicts.peek().some((conflict) => conflict.change.id === change.id);
}

/**
 * Returns the oldest change that may be sent, and those after it that can go in the same request. A change of a task waits
 * for earlier ones of the same task.
 */
function next() {
  reload();
  const seen = new Set();
  const batchable = [];
  for (const change of waiting.value) {
    const isReady = isOpen(change) && !seen.has(change.taskId) && (change.notBefore ?? 0) <= Date.now();
    seen.add(change.taskId);
    if (!isReady || (change.taskId < 0 && change.kind !== "create")) continue;
    if (!(change.kind in OPERATIONS)) return batchable.length ? batchable : [change];
    batchable.push(change);
    if (batchable.length === LARGEST_BATCH) break;
  }
  return batchable;
}

/** Sends changes. Returns whether to go on with the next ones. */
async function deliver(changes) {
  try {
    if (changes.length === 1) {
      confirm(changes[0], await REQUESTS[changes[0].kind](changes[0]));
      return true;
    }
    // It needs no key: a change that was made by an earlier attempt is recognized by the version of its task.
    const operations = changes.map((change) => OPERATIONS[change.kind](change));
    const { results } = await call("POST", "/tasks/bulk", { body: { operations } });
    for (const [position, { status, task, problem }] of results.entries()) {
      if (status < 300) confirm(changes[position], task);
      else await recover(changes[position], new Problem(status, problem, null));
    }
    return true;
  } catch (error) {
    if (changes.length === 1) return recover(changes[0], error);
    if (isTemporary(error)) return false;
    throw error;
  }
}

const REQUESTS = {
  create: ({ fields, key }) => call("POST", "/tasks", { body: fields, key }),
  update: ({ taskId, fields, version }) => call("PATCH", `/tasks/${taskId}`, { body: fields, version }),
  delete: ({ taskId }) => call("DELETE", `/tasks/${taskId}`),
  comment: ({ taskId, fields, key }) => call("POST", `/tasks/${taskId}/comments`, { body: fields, key }),
};

/** The changes that can go together in one request, as the operations of that request. */
const OPERATIONS = {
  update: ({ taskId, fields, version }) => ({ op: "update", id: taskId, task: fields, version }),
  delete: ({ taskId }) => ({ op: "delete", id: taskId }),
};

/** A change was not made. Returns whether to go on with the next one. */
async function recover(change, error) {
  if (isTemporary(error)) return false;
  if (!(error instanceof Problem)) throw error;
  if (error.status === 401) return false;
  if (error.code !== "version_mismatch") return handleRefusal(change, error);
  try {
    await rebase(change);
    return true;
  } catch (second) {
    return recover(change, second);
  }
}

function confirm(change, result) {
  batch(() => {
    handlers.confirmed(change, result);
    if (change.kind === "create") renumber(change.taskId, result.id);
    if (change.kind === "update") moveOn(change, result.version);
    settle(change.id);
  });
}

/** Gives the later changes of a task the id that the server has chosen. */
function renumber(from, to) {
  for (const other of waiting.value.filter(({ taskId }) => taskId === from)) {
    keep({ ...other, taskId: to, version: other.kind === "update" ? 1 : other.version });
  }
  handlers.renumbered(from, to);
  tell("renumbered", { from, to });
}

/** Bases the later changes of a task on the version that our own change has made. */
function moveOn(change, version) {
  for (const other of waiting.value) {
    if (other.taskId === change.taskId && other.id !== change.id && other.version === change.version) {
      keep({ ...other, version });
    }
  }
}

function handleRefusal(change, problem) {
  if (problem.status === 404 && change.kind === "delete") {
    confirm(change, null); // It was deleted already, perhaps by an earlier attempt whose response was lost.
  } else if (problem.code === "idempotency_key_in_use") {
    return false; // The first attempt is still being served.
  } else if (outcomes.has(change.id)) {
    outcomes.get(change.id).reject(problem);
    drop(change.id);
  } else {
    keep({ ...change, refusal: problem.message });
  }
  return true;
}

/** Bases a change on the present task, or asks the person if both have changed the same fields. */
async function rebase(change) {
  const theirs = await call("GET", `/tasks/${change.taskId}`);
  const { left, conflicts: fields } = reconcile(change.base, change.fields, theirs);
  if (Object.keys(left).length === 0) {
    confirm(change, theirs);
  } else if (fields.length === 0) {
    keep({ ...change, fields: left, version: theirs.version });
  } else {
    conflicts.value = [...conflicts.value, { change, theirs, fields }];
    outcomes.get(change.id)?.resolve("waiting");
  }
}

function settle(id) {
  const outcome = outcomes.get(id);
  drop(id);
  outcome?.resolve("confirmed");
}

function keep(change) {
  remember(nameOf(change.id), change);
  reload();
  tell("outbox", null);
}

const prefix = () => `outbox.${profile.peek()?.id ?? 0}.`;
const nameOf = (id) => prefix() + id;

function reload() {
  waiting.value = profile.peek() ? namesWith(prefix()).map(recall).filter(Boolean) : [];
}

/** Forgets everything of a person that waits, because they have signed out and want it so. */
export function forgetAll(userId) {
  for (const name of namesWith(`outbox.${userId}.`)) remember(name, undefined);
  reload();
}

onTold("outbox", reload);
onTold("renumbered", ({ from, to }) => handlers.renumbered(from, to));
effect(() => {
  if (profile.value) {
    reload();
    queueMicrotask(flush);
  }
});
window.addEventListener("online", () => void flush());
