/** Short notices at the edge of the page, what a screen reader is told, and what can be undone. */

import { signal } from "./ui.js";
import { Problem, Unreachable } from "./http.js";
import { msg } from "./texts.js";
import { newId } from "./tabs.js";

const SECONDS = 7;
const UNDO_LIMIT = 50;

/** The notices that are shown: `{id, text, kind, undo}`. */
export const notices = signal([]);
/** The last text for screen readers. */
export const announcement = signal("");

const undoable = [];

/** Tells something to people who use a screen reader, without showing it. */
export function announce(text) {
  // A text that is the same as the one before would not be read again without this sign that cannot be seen.
  announcement.value = announcement.peek() === text ? `${text}\u200b` : text;
}

/** Shows a notice for some seconds. */
export function notify(text, { kind = "info", undo = null } = {}) {
  const notice = { id: newId(), text, kind, undo };
  notices.value = [...notices.value.slice(-2), notice];
  setTimeout(() => dismiss(notice.id), SECONDS * 1000);
  return notice;
}

export function dismiss(id) {
  notices.value = notices.value.filter((notice) => notice.id !== id);
}

/** Shows a notice with a button that takes a change back; the key for undoing does the same, also later. */
export function notifyUndoable(text, undo) {
  const step = { undo };
  undoable.push(step);
  if (undoable.length > UNDO_LIMIT) undoable.shift();
  step.notice = notify(text, { undo: () => takeBack(step) });
}

/** Takes back the last change, if there is one. */
export function undoLast() {
  const step = undoable.at(-1);
  if (step) takeBack(step);
  else announce(msg("There is nothing to undo."));
}

function takeBack(step) {
  const position = undoable.indexOf(step);
  if (position < 0) return;
  undoable.splice(position, 1);
  dismiss(step.notice.id);
  step.undo();
  announce(msg("Undone."));
}

/** Returns what to tell a person about a failure. */
export function explain(error) {
  if (error instanceof Unreachable) return msg("The server cannot be reached. Please try again.");
  if (error instanceof Problem) return error.message;
  throw error;
}

/** Does something and shows a notice if it fails; returns whether it succeeded. */
export async function attempt(work) {
  try {
    await work();
    return true;
  } catch (error) {
    notify(explain(error), { kind: "error" });
    return false;
  }
}
