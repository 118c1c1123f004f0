/** The tasks that are known, and what the reader does with them. */

import { batch, computed, signal } from "./ui.js";
import { get } from "./api.js";
import { onEvent, onResync } from "./live.js";
import { notify, notifyUndoable, explain } from "./notices.js";
import { handleOutcomes, submit, waiting, withdraw } from "./outbox.js";
import { decidedBy } from "./merge.js";
import { nameOf, noteActor } from "./people.js";
import { notePlace } from "./places.js";
import { profile } from "./session.js";
import { msg } from "./texts.js";
import { instantOf } from "./times.js";

export const STATUSES = ["todo", "in_progress", "done"];
export const PRIORITIES = ["low", "medium", "high", "urgent"];

/** Seconds in which a deletion can be taken back, because it has not been sent yet. */
const DELETION_SECONDS = 7;
const HIGHLIGHT_SECONDS = 6;

/** The tasks as the server has told them, by id. */
const known = signal(new Map());

/** The tasks as the reader sees them: with the changes that are still on their way. */
export const tasks = computed(() => {
  const shown = new Map(known.value);
  for (const change of waiting.value) {
    if (change.refusal) continue;
    const task = shown.get(change.taskId);
    if (change.kind === "create") shown.set(change.taskId, newTask(change));
    if (change.kind === "update" && task) shown.set(change.taskId, { ...task, ...applied(change.fields), isWaiting: true });
    if (change.kind === "delete") shown.delete(change.taskId);
  }
  return shown;
});

/** Who has just changed which task: `{by, at}` for each id. It is shown for some seconds. */
export const touched = signal(new Map());

/** Tasks that got another id when they were stored: the real id for each temporary one. */
export const renumbered = new Map();

/** Returns the values that a task has after a change: those of the change, and those that follow from them. */
function applied(fields) {
  const implied = {};
  if ("due_at" in fields) implied.due_on = null;
  if ("due_on" in fields) implied.due_at = fields.due_on && instantOf(`${fields.due_on}T23:59`);
  if ("city" in fields) Object.assign(implied, { place_id: null, place: null, forecast: null, weather: null });
  if ("place_id" in fields) Object.assign(implied, { city: null, place: null, forecast: null, weather: null });
  return { ...implied, ...fields };
}

/** Returns the fields that give a task its earlier values again; of two that decide the same, it is that which counted. */
function restoring(base) {
  const { due_at: dueAt, due_on: dueOn, place_id: placeId, city, ...others } = base;
  if (dueAt !== undefined) Object.assign(others, dueOn ? { due_on: dueOn } : { due_at: dueAt });
  if (city !== undefined) Object.assign(others, city || !placeId ? { city } : { place_id: placeId });
  return others;
}

function newTask({ taskId, fields, at }) {
  return {
    description: null, status: "todo", priority: "medium", due_at: null, due_on: null, duration_minutes: null, city: null,
    place_id: null, place: null, weather: null, forecast: null, weather_rule: null, weather_state: null, auto_reschedule: null,
    assignee_id: null, group_id: null, completed_at: null, version: 0, weather_status: fields.city ? "pending" : null,
    ...applied(fields), id: taskId, user_id: profile.value?.id, created_at: at, updated_at: at, isWaiting: true,
  };
}

/** The tasks that were known when events were missed, and that the server has not told again since. */
let unconfirmed = new Set();

/** Takes tasks over that the server has sent. An older version never replaces a newer one. */
export function learn(found) {
  const changed = new Map(known.value);
  for (const task of found) {
    unconfirmed.delete(task.id);
    notePlace(task.place);
    if ((changed.get(task.id)?.version ?? 0) <= task.version) changed.set(task.id, task);
  }
  known.value = changed;
}

function forget(id) {
  const changed = new Map(known.value);
  changed.delete(id);
  known.value = changed;
}

/** Forgets those tasks that should have been among what the server has told, but were not: they are gone. */
export function forgetMissing(shouldBeThere) {
  const gone = [...known.value.values()].filter((task) => unconfirmed.has(task.id) && shouldBeThere(task));
  for (const { id } of gone) forget(id);
}

/** Forgets all tasks. */
export function forgetTasks() {
  known.value = new Map();
}

/** Reads a task. */
export async function readTask(id) {
  learn([await get(`/tasks/${id}`)]);
}

/** Returns a task as the reader sees it, or undefined. */
export const taskOf = (id) => tasks.value.get(renumbered.get(id) ?? id);

let lastTemporaryId = -Date.now();

/** Creates a task. Throws the problem if the server refuses it at once. */
export async function createTask(fields) {
  const id = (lastTemporaryId -= 1);
  const outcome = await submit("create", id, { fields });
  if (outcome === "waiting") notify(msg("Kept on this device. It is sent when the connection is back."));
  else notifyUndoable(msg("Task created."), () => sendDeletion(taskOf(id)));
}

/**
 * Changes fields of a task.
 * @param {object} task as the reader sees it
 * @param {Record<string, unknown>} fields the new values
 * @param {string} [told] what to say about it; without it the change cannot be undone by a button
 */
export async function changeTask(task, fields, told) {
  const base = Object.fromEntries(decidedBy(Object.keys(fields)).map((field) => [field, task[field] ?? null]));
  const outcome = submit("update", task.id, { fields, base, version: task.version });
  if (told) notifyUndoable(told, () => void undoChange(task.id, restoring(base)));
  try {
    return await outcome;
  } catch (error) {
    notify(msg("“{title}” was not changed: {reason}", { title: task.title, reason: explain(error) }), { kind: "error" });
    throw error;
  }
}

async function undoChange(id, fields) {
  const task = taskOf(id);
  if (!task) return;
  await changeTask(task, fields).catch(() => {}); // The person has been told.
}

/** Deletes a task, some seconds later, so that it can be taken back. */
export function deleteTask(task) {
  sendDeletion(task, { notBefore: Date.now() + DELETION_SECONDS * 1000 });
  notifyUndoable(msg("“{title}” deleted.", { title: task.title }), () => {
    const isMine = (change) => change.kind === "delete" && change.taskId === task.id;
    if (!withdraw(isMine)) notify(msg("It is too late: the task is deleted already."), { kind: "error" });
  });
}

function sendDeletion(task, when = {}) {
  if (!task) return; // Somebody else has deleted it.
  submit("delete", task.id, when).catch((error) => {
    notify(msg("“{title}” was not deleted: {reason}", { title: task.title, reason: explain(error) }), { kind: "error" });
  });
}

function highlight(id, by) {
  touched.value = new Map(touched.value).set(id, { by, at: Date.now() });
  setTimeout(() => {
    if (Date.now() - (touched.value.get(id)?.at ?? 0) < HIGHLIGHT_SECONDS * 1000 - 100) return;
    const left = new Map(touched.value);
    left.delete(id);
    touched.value = left;
  }, HIGHLIGHT_SECONDS * 1000);
}

handleOutcomes({
  confirmed(change, result) {
    if (change?.kind === "delete") forget(change.taskId);
    else if (change?.kind !== "comment" && result) learn([result]);
  },
  renumbered(from, to) {
    renumbered.set(from, to);
  },
});

onEvent((event) => {
  if (!event.type.startsWith("task.")) return;
  noteActor(event.actor_id);
  batch(() => {
    if (event.type === "task.deleted") {
      if (event.actor_id !== profile.value?.id && known.value.has(event.task_id)) {
        notify(msg("{name} deleted “{title}”.", { name: nameOf(event.actor_id), title: event.data.title }));
      }
      forget(event.task_id);
      return;
    }
    learn([event.data]);
    if (event.actor_id !== null && event.actor_id !== profile.value?.id) highlight(event.task_id, event.actor_id);
  });
});
onResync(() => (unconfirmed = new Set(known.peek().keys())));
