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
  city: () => msg("City"),
  assignee_id: () => msg("Assigned to"),
  group_id: () => msg("Group"),
};

export const statusName = (status) => STATUS[status]?.() ?? status;
export const priorityName = (priority) => PRIORITY[priority]?.() ?? priority;
export const fieldName = (field) => FIELD[field]?.() ?? field;
