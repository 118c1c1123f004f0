/** What to do with a change of a task that somebody else has changed meanwhile. */

/** Returns whether two values of a field are the same; times are compared as times. */
export function sameValue(field, one, other) {
  if (field === "due_at" && one && other) return Date.parse(one) === Date.parse(other);
  return comparable(one) === comparable(other);
}

/** Returns a text that is the same for the same objects; a member that is null counts as missing. */
function comparable(value) {
  if (value === null || typeof value !== "object") return value ?? null;
  const present = Object.entries(value).filter(([, member]) => member !== null);
  return present.length ? JSON.stringify(present.sort()) : null;
}

/** Fields that decide the same thing: whoever changes one of them also changes the other. */
const SAME_MATTER = { due_on: ["due_at"], due_at: ["due_on"], place_id: ["city"], city: ["place_id"] };

/** Returns the fields of a task that a change of some of its fields decides. */
export const decidedBy = (fields) => [...new Set(fields.flatMap((field) => [field, ...(SAME_MATTER[field] ?? [])]))];

/**
 * Compares a change with what the task is now.
 * @param {Record<string, unknown>} base the values that the person saw before the change
 * @param {Record<string, unknown>} mine the values that the person has set
 * @param {Record<string, unknown>} theirs the task as it is now
 * @returns {{left: Record<string, unknown>, conflicts: string[]}} the values that are still to be set, and the fields
 *     that both have changed to different values
 */
export function reconcile(base, mine, theirs) {
  const left = {};
  const conflicts = [];
  // A place that was not known yet is filled in by the server, which nobody has to decide about.
  const isFilledIn = (field) => field === "place_id" && base[field] === null;
  const wasChanged = (field) => field in base && !isFilledIn(field) && !sameValue(field, theirs[field], base[field]);
  for (const [field, value] of Object.entries(mine)) {
    if (sameValue(field, theirs[field], value)) continue;
    left[field] = value;
    if (decidedBy([field]).some(wasChanged)) conflicts.push(field);
  }
  return { left, conflicts };
}
