/** The number of unread notifications, kept up to date by events, and the invitations that the reader has received. */

import { effect, signal } from "./ui.js";
import { get } from "./api.js";
import { onEvent, onResync } from "./live.js";
import { profile } from "./session.js";

/** How many notifications are unread. */
export const unread = signal(0);
/** Notifications that have come since the page was opened, the newest first. */
export const arrived = signal([]);

/** The open invitations of the reader into groups. */
export const invitations = signal([]);

/** Reads the invitations of the reader. */
export async function readInvitations() {
  try {
    invitations.value = (await get("/invitations/received")).items;
  } catch {
    // They stay as they were, and are read again with the next connection.
  }
}

/** Reads the number of unread notifications. */
export async function countUnread() {
  try {
    unread.value = (await get("/notifications/unread")).unread;
  } catch {
    // The number stays as it was, and is read again with the next connection.
  }
}

onEvent((event) => {
  if (event.type !== "notification.created") return;
  arrived.value = [event.data, ...arrived.peek()];
  unread.value = unread.peek() + 1;
});
onResync(() => {
  void countUnread();
  void readInvitations();
});
effect(() => {
  if (profile.value) return;
  unread.value = 0;
  arrived.value = [];
  invitations.value = [];
});
