/** The names of what a task can be, in the language of the reader. */

import { msg } from "./texts.js";

const STATUS = { todo: () => msg("To do"), in_progress: () => msg("In progress"), done: () => msg("Done") };
const PRIORITY = {
  low: () => msg("Low"),
  medium: () => msg("Medium"),
  high: () => msg("High"),
  urgent: () => msg("Urgent"),
};
const FIELD = {
  title: () => msg("Title"),
  description: () => msg("Description"),
  status: () => msg("Status"),
  priority: () => msg("Priority"),
  due_at: () => msg("Deadline"),
  due_on: () => msg("Deadline"),
  duration_minutes: () => msg("It takes"),
  reason: () => msg("Weather"),
  city: () => msg("City"),
  place_id: () => msg("Place"),
  weather_rule: () => msg("Weather rule"),
  auto_reschedule: () => msg("Move automatically"),
  assignee_id: () => msg("Assigned to"),
  group_id: () => msg("Group"),
};

const WEATHER_STATE = {
  ok: () => msg("Weather fits"),
  warned: () => msg("Bad weather expected"),
  unknown: () => msg("Weather not known"),
};

export const statusName = (status) => STATUS[status]?.() ?? status;
export const priorityName = (priority) => PRIORITY[priority]?.() ?? priority;
export const fieldName = (field) => FIELD[field]?.() ?? field;
export const weatherStateName = (state) => WEATHER_STATE[state]?.() ?? state;
export const WEATHER_STATES = Object.keys(WEATHER_STATE);
