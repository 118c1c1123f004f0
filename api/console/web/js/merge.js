/** What to do with a change of a task that somebody else has changed meanwhile. */

/** Returns whether two values of a field are the same; times are compared as times. */
export function sameValue(field, one, other) {
  if (field === "due_at" && one && other) return Date.parse(one) === Date.parse(other);
  return (one ?? null) === (other ?? null);
}

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
  for (const [field, value] of Object.entries(mine)) {
    if (sameValue(field, theirs[field], value)) continue;
    left[field] = value;
    if (!sameValue(field, theirs[field], base[field])) conflicts.push(field);
  }
  return { left, conflicts };
}
