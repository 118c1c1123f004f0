/** The people whom the reader knows, by their ids: members of common groups, and those with whom a task is shared. */

import { computed, signal } from "./ui.js";
import { get } from "./api.js";
import { profile } from "./session.js";
import { msg } from "./texts.js";

/** The groups of the reader. */
export const groups = signal([]);
/** Whether the groups have been read. */
export const areGroupsRead = signal(false);

const named = signal(new Map());
const asked = new Set();

/** All names that are known: from the groups, and read one by one. */
const names = computed(() => {
  const all = new Map(named.value);
  for (const group of groups.value) {
    for (const { user_id: id, username } of group.members) if (!all.has(id)) all.set(id, username);
  }
  if (profile.value) all.set(profile.value.id, profile.value.full_name || shortName(profile.value.username));
  return all;
});

/** Returns the part of a username before the `@`, if it is an email. */
const shortName = (username) => username.split("@")[0];

/** Returns the name of a person. The name of somebody new is asked for, and the text changes when it has come. */
export function nameOf(id) {
  if (id === null || id === undefined) return msg("Somebody");
  const name = names.value.get(id);
  if (name) return name;
  if (areGroupsRead.value && !asked.has(id)) void ask(id);
  return msg("Person {id}", { id });
}

async function ask(id) {
  asked.add(id);
  try {
    // The person may have come into one of the groups meanwhile.
    await readGroups();
    if (names.peek().has(id)) return;
    const { name } = await get(`/user/${id}/`);
    named.value = new Map(named.value).set(id, shortName(name));
  } catch {
    // The name stays unknown, as the server wants it or because there is no connection.
  }
}

/** Notes that a person has done something. Then their name may be asked for, also if it was refused before. */
export function noteActor(id) {
  if (id !== null && !names.peek().has(id)) asked.delete(id);
}

/** The people to whom a task can be given, sorted by name: `{id, name}`. */
export const acquaintances = computed(() =>
  [...names.value].map(([id, name]) => ({ id, name })).sort((one, other) => one.name.localeCompare(other.name)),
);

/** Reads the groups. */
export async function readGroups() {
  const { items } = await get("/groups?limit=200");
  groups.value = items;
  areGroupsRead.value = true;
}

/** Returns the name of a group. */
export function groupName(id) {
  return groups.value.find((group) => group.id === id)?.name ?? msg("Group {id}", { id });
}

/** Forgets everything about other people, because the reader has signed out. */
export function forgetPeople() {
  groups.value = [];
  areGroupsRead.value = false;
  named.value = new Map();
  asked.clear();
}
