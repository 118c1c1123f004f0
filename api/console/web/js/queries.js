/** Lists of tasks: which tasks belong to a list, in which order, and how far it has been read. */

import { computed, signal } from "./ui.js";
import { get, query } from "./api.js";
import { onResync } from "./live.js";
import { explain } from "./notices.js";
import { sameValue } from "./merge.js";
import { PRIORITIES, STATUSES, forgetMissing, learn, tasks } from "./tasks.js";
import { dayAfterToday, instantOf, now } from "./times.js";

const PAGE = 50;

/** The spans of the filter for deadlines, as the first and the last day after today; null is open. */
const DUE_DAYS = { today: [0, 0], week: [0, 6] };

/**
 * What a list shows, as it stands in the address.
 * @typedef {{q?: string, status?: string, priority?: string, assignee_id?: string, user_id?: string, group_id?: string,
 *     weather_state?: string, due?: "overdue"|"today"|"week", sort?: string}} Filters
 */

/** Returns the parameters of the API for some filters. */
export function parametersOf({ due, sort, ...filters }) {
  const parameters = { ...filters, sort };
  if (due === "overdue") parameters.overdue = "true";
  if (DUE_DAYS[due]) [parameters.due_from, parameters.due_to] = spanOf(due);
  return parameters;
}

function spanOf(due) {
  const [first, last] = DUE_DAYS[due];
  const end = Date.parse(instantOf(`${dayAfterToday(last + 1)}T00:00`)) - 1;
  return [instantOf(`${dayAfterToday(first)}T00:00`), new Date(end).toISOString()];
}

export const isOverdue = (task) =>
  Boolean(task.due_at) && task.status !== "done" && Date.parse(task.due_at) < now.value;

/** Returns whether a task belongs to a list. Only the server can say so for a search. */
export function matches(task, filters) {
  const has = (field) => !filters[field] || filters[field].split(",").includes(String(task[field]));
  if (!["status", "priority", "assignee_id", "user_id", "group_id", "weather_state"].every(has)) return false;
  if (filters.due === "overdue") return isOverdue(task);
  if (!DUE_DAYS[filters.due]) return true;
  // A day is the same day for everybody, in whatever zone the last second of it is meant.
  if (task.due_on) {
    const [first, last] = DUE_DAYS[filters.due].map(dayAfterToday);
    return first <= task.due_on && task.due_on <= last;
  }
  const [from, to] = spanOf(filters.due).map(Date.parse);
  const due = Date.parse(task.due_at ?? "");
  return due >= from && due <= to;
}

const RANKS = { status: STATUSES, priority: PRIORITIES };

/** Returns a function that compares two tasks as the API sorts them, by columns such as "-priority,due_at". */
export function orderBy(sort) {
  const columns = sort.split(",").map((name) => ({ field: name.replace(/^-/, ""), sign: name.startsWith("-") ? -1 : 1 }));
  return (one, other) => {
    for (const { field, sign } of columns) {
      const [first, second] = [sortedValue(one, field), sortedValue(other, field)];
      if (sameValue(field, first, second)) continue;
      if (first === null) return 1; // Tasks without a deadline are last in both directions.
      if (second === null) return -1;
      return sign * compare(field, first, second);
    }
    return columns.at(-1).sign * (one.id - other.id);
  };
}

/** Returns what a column sorts a task by. The risk is the probability of rain, above which stand all warned tasks. */
function sortedValue(task, field) {
  if (field !== "weather_risk") return task[field];
  const isWarned = task.weather_state === "warned";
  const rain = task.forecast?.rain_probability ?? null;
  return rain === null && !isWarned ? null : (isWarned ? 1000 : 0) + (rain ?? 0);
}

function compare(field, one, other) {
  if (field === "weather_risk") return one - other;
  if (RANKS[field]) return RANKS[field].indexOf(one) - RANKS[field].indexOf(other);
  if (field === "title") return one.localeCompare(other);
  return Date.parse(one) - Date.parse(other);
}

/** A list that is shown: what of it has been read, and what of it is known. */
export class TaskList {
  /** @param {Filters} filters */
  constructor(filters, sort) {
    this.filters = filters;
    this.sort = sort;
    this.order = orderBy(sort === "-relevance" ? "-created_at" : sort);
    this.isLoading = signal(true);
    this.problem = signal("");
    this.read = signal({ ids: [], cursor: null, total: null, isComplete: false });
    this.items = computed(() => this.#select());
    this.total = computed(() => (this.read.value.isComplete ? this.items.value.length : this.read.value.total));
    this.stop = onResync(() => void this.reload());
    void this.reload();
  }

  /** Reads the list again from its beginning. */
  reload() {
    return this.#load(null);
  }

  /** Reads the next page. */
  more() {
    return this.#load(this.read.peek().cursor);
  }

  async #load(cursor) {
    const attempt = (this.attempt = {});
    this.isLoading.value = true;
    const parameters = { ...parametersOf(this.filters), sort: this.sort, limit: PAGE, cursor };
    if (cursor) parameters.count = "none";
    try {
      const page = await get(`/tasks${query(parameters)}`);
      if (this.attempt !== attempt) return; // The list has been read again meanwhile.
      learn(page.items);
      const last = page.next_cursor ? page.items.at(-1) : null;
      if (!cursor && !this.filters.q) forgetMissing((task) => matches(task, this.filters) && this.#isWithin(task, last));
      const before = cursor ? this.read.peek() : { ids: [], total: page.total };
      this.read.value = {
        ids: [...before.ids, ...page.items.map(({ id }) => id)],
        cursor: page.next_cursor,
        total: page.total ?? before.total,
        isComplete: page.next_cursor === null,
      };
      this.problem.value = "";
    } catch (error) {
      this.problem.value = explain(error);
    } finally {
      if (this.attempt === attempt) this.isLoading.value = false;
    }
  }

  /**
   * Returns the tasks to show. A task that is new or has changed is shown where it belongs, unless that is behind the part
   * of the list that has been read. In a search, only what the server has found is shown, in its order.
   */
  #select() {
    const { ids, isComplete } = this.read.value;
    const all = tasks.value;
    if (this.filters.q) return ids.map((id) => all.get(id)).filter((task) => task && matches(task, this.filters));
    const isRead = new Set(ids);
    const last = isComplete ? null : all.get(ids.at(-1));
    const belongs = (task) =>
      matches(task, this.filters) && (isRead.has(task.id) || task.id < 0 || this.#isWithin(task, last));
    return [...all.values()].filter(belongs).sort(this.order);
  }

  /** Returns whether a task stands before the end of what was read; null is the end of the whole list. */
  #isWithin(task, last) {
    return last === null || (last !== undefined && this.order(task, last) <= 0);
  }
}
