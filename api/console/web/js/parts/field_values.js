/** The values of the fields of a task in words, where changes of them are told. */

import { priorityName, statusName } from "../labels.js";
import { groupName, nameOf } from "../people.js";
import { placeName } from "../places.js";
import { msg } from "../texts.js";
import { fullDay, fullTime } from "../times.js";
import { minutesInWords } from "../units.js";
import { ruleInWords } from "./weather_rule.js";

const VALUES = {
  status: statusName,
  priority: priorityName,
  due_at: fullTime,
  due_on: fullDay,
  duration_minutes: minutesInWords,
  place_id: placeName,
  weather_rule: ruleInWords,
  auto_reschedule: boundsInWords,
  assignee_id: nameOf,
  group_id: groupName,
};

/** Returns the bounds within which a task may be moved, in words. */
export function boundsInWords({ not_before: begin, not_after: end }) {
  if (!begin) return msg("until {end}", { end: fullTime(end) });
  return msg("from {begin} until {end}", { begin: fullTime(begin), end: fullTime(end) });
}

/** Returns a value of a field in words. */
export function valueInWords(field, value) {
  if (value === null || value === undefined || value === "") return msg("empty");
  return VALUES[field]?.(value) ?? String(value);
}
