/** The list: a table on a wide screen, lines on a phone; sorted, filtered, and with actions on several tasks at once. */

import { html, classes, useEffect, useMemo, useRef, useState } from "../ui.js";
import { Icon } from "../icons.js";
import { useKeys } from "../keys.js";
import { fieldName, priorityName, statusName } from "../labels.js";
import { announce, notify, notifyUndoable } from "../notices.js";
import { acquaintances, nameOf } from "../people.js";
import { TaskList } from "../queries.js";
import { linkTo, route, setParams } from "../router.js";
import { PRIORITIES, STATUSES, changeTask, deleteTask, taskOf, touched } from "../tasks.js";
import { msg } from "../texts.js";
import { Ago, Avatar, Due, Empty, Failed, Priority, Skeleton, Status, Weather, WeatherState } from "../parts/bits.js";
import { Filters, filtersInAddress } from "../parts/filters.js";
import { openNewTask } from "../parts/task_form.js";

const COLUMNS = ["title", "status", "priority", "due_at", "updated_at"];
const DEFAULT_SORT = "-created_at";

export function List() {
  const filters = filtersInAddress();
  const sort = route.value.params.sort ?? (filters.q ? "-relevance" : DEFAULT_SORT);
  const key = JSON.stringify([filters, sort]);
  const list = useMemo(() => new TaskList(filters, sort), [key]);
  const [selected, setSelected] = useState(new Set());
  const table = useRef(null);
  useEffect(() => () => list.stop(), [list]);
  useEffect(() => setSelected(new Set()), [key]);

  const items = list.items.value;
  const chosen = items.filter(({ id }) => selected.has(id));
  const select = (ids, isSelected) => {
    const next = new Set(selected);
    for (const id of ids) if (isSelected) next.add(id); else next.delete(id);
    setSelected(next);
  };
  const step = (by) => {
    const links = [...table.current.querySelectorAll(".row-title")];
    const position = links.indexOf(document.activeElement);
    links[Math.max(0, Math.min(links.length - 1, position < 0 ? 0 : position + by))]?.focus();
  };
  const toggleFocused = () => {
    const id = Number(document.activeElement?.closest("[data-id]")?.dataset.id);
    if (id) select([id], !selected.has(id));
  };
  useKeys({ j: () => step(1), k: () => step(-1), x: toggleFocused, Escape: () => setSelected(new Set()) });

  const isFirstRead = list.isLoading.value && list.read.value.total === null;
  const total = list.total.value;
  return html`
    <div class="page-head">
      <h1>${msg("List")} <span class="count"
        aria-label=${msg("{count} tasks", { count: total ?? "…" })}>${total ?? "…"}</span></h1>
      <${Filters} withStatus><${SortChoice} sort=${sort} withRelevance=${Boolean(filters.q)} /><//>
    </div>
    ${list.problem.value ? html`<${Failed} text=${list.problem.value} onRetry=${() => list.reload()} />` : null}
    ${!isFirstRead && items.length === 0 && !list.problem.value ? html`<${Nothing}
      isFiltered=${Object.keys(filters).length > 0} />` : null}
    ${isFirstRead || items.length
      ? html`
          <div class="table-place" ref=${table} aria-busy=${String(isFirstRead)}>
            <table class="tasks">
              <thead>
                <tr>
                  <th class="cell-select">
                    <input type="checkbox" aria-label=${msg("Select all")} disabled=${isFirstRead}
                      checked=${items.length > 0 && chosen.length === items.length}
                      onChange=${(event) => select(items.map(({ id }) => id), event.currentTarget.checked)} />
                  </th>
                  ${COLUMNS.map((field) => html`<${SortHead} field=${field} sort=${sort} key=${field} />`)}
                  <th scope="col" class="cell-person">${fieldName("assignee_id")}</th>
                </tr>
              </thead>
              <tbody>
                ${isFirstRead
                  ? [0, 1, 2, 3, 4, 5].map((index) => html`<tr key=${`empty-${index}`}><td colspan="7"><${Skeleton}
                    lines=${1} /></td></tr>`)
                  : items.map((task) => html`<${Row} key=${task.id} task=${task} isSelected=${selected.has(task.id)}
                    onSelect=${(is) => select([task.id], is)} />`)}
              </tbody>
            </table>
          </div>
        `
      : null}
    ${list.read.value.cursor
      ? html`<button type="button" class="button more" disabled=${list.isLoading.value}
        onClick=${() => list.more()}>${msg("Show more")}</button>`
      : null}
    ${chosen.length ? html`<${BulkBar} chosen=${chosen} onDone=${() => setSelected(new Set())} />` : null}
  `;
}

const Nothing = ({ isFiltered }) =>
  isFiltered
    ? html`<${Empty} icon="search"
      title=${msg("No task matches")}><p>${msg("Take a filter away, or search for the beginning of another word.")}</p><//>`
    : html`<${Empty} icon="list" title=${msg("No tasks yet")}>
        <p>${msg("Create the first one. With a city it gets its weather, and people you assign it to see it at once.")}</p>
        <button type="button" class="button primary" onClick=${() => openNewTask()}><${Icon} name="plus"
          size=${18} />${msg("New task")}</button>
      <//>`;

const columnName = (field) => (field === "updated_at" ? msg("Changed") : fieldName(field));

/** The head of a column, which sorts by it: first in one direction, then in the other. */
function SortHead({ field, sort }) {
  const direction = sort === field ? "ascending" : sort === `-${field}` ? "descending" : undefined;
  return html`
    <th scope="col" aria-sort=${direction} class=${`cell-${field}`}>
      <button type="button" class="sort-button"
        onClick=${() => setParams({ sort: direction === "ascending" ? `-${field}` : field })}>
        ${columnName(field)}${direction ? html`<${Icon} name=${direction === "ascending" ? "up" : "down"}
          size=${16} />` : null}
      </button>
    </th>
  `;
}

function SortChoice({ sort, withRelevance }) {
  const options = [
    ...(withRelevance ? [["-relevance", msg("Best match first")]] : []),
    ["-created_at", msg("Newest first")],
    ["created_at", msg("Oldest first")],
    ["due_at", msg("Deadline first")],
    ["-priority,due_at", msg("Most urgent first")],
    ["-updated_at", msg("Changed last")],
    ["-weather_risk", msg("Weather risk first")],
    ["title", msg("By title")],
  ];
  const isListed = options.some(([value]) => value === sort);
  return html`
    <label class="filter sort-choice">
      <span class="hidden">${msg("Order")}</span>
      <select onChange=${(event) => setParams({ sort: event.currentTarget.value })}>
        ${isListed ? null : html`<option value=${sort} selected>${msg("By column")}</option>`}
        ${options.map(([value, name]) => html`<option value=${value} selected=${value === sort}>${name}</option>`)}
      </select>
    </label>
  `;
}

function Row({ task, isSelected, onSelect }) {
  const touch = touched.value.get(task.id);
  return html`
    <tr class=${classes("", { touched: touch, selected: isSelected, waiting: task.isWaiting })} data-id=${task.id}>
      <td class="cell-select">
        <input type="checkbox" checked=${isSelected} aria-label=${msg("Select “{title}”", { title: task.title })}
          onChange=${(event) => onSelect(event.currentTarget.checked)} />
      </td>
      <td class="cell-title">
        <a class="row-title" href=${linkTo(`tasks/${task.id}`)}>${task.title}</a>
        ${touch ? html`<span class="touched-by">${msg("Changed by {name}", { name: nameOf(touch.by) })}</span>` : null}
        <${Weather} task=${task} />
        <${WeatherState} value=${task.weather_state} />
      </td>
      <td class="cell-status"><${Status} value=${task.status} /></td>
      <td class="cell-priority"><${Priority} value=${task.priority} /></td>
      <td class="cell-due_at"><${Due} task=${task} /></td>
      <td class="cell-updated_at"><${Ago} at=${task.updated_at} /></td>
      <td class="cell-person">${task.assignee_id ? html`<span class="person"><${Avatar}
        id=${task.assignee_id} /><span class="person-name">${nameOf(task.assignee_id)}</span></span>` : null}</td>
    </tr>
  `;
}

/** Changes all chosen tasks, and offers to take all of these changes back together. */
async function changeAll(chosen, fields) {
  const before = chosen.map((task) => [task.id, Object.fromEntries(Object.keys(fields).map((field) => [field, task[field]]))]);
  notifyUndoable(msg("{count} tasks changed.", { count: chosen.length }), () => {
    for (const [id, values] of before) if (taskOf(id)) changeTask(taskOf(id), values).catch(() => {});
  });
  const results = await Promise.allSettled(chosen.map((task) => changeTask(task, fields)));
  const failed = results.filter(({ status }) => status === "rejected").length;
  if (failed) notify(msg("{count} tasks were not changed.", { count: failed }), { kind: "error" });
}

function BulkBar({ chosen, onDone }) {
  const apply = (name, read = (value) => value) => (event) => {
    const { value } = event.currentTarget;
    if (!value) return;
    void changeAll(chosen, { [name]: read(value) });
    announce(msg("{count} tasks changed.", { count: chosen.length }));
    onDone();
  };
  const choice = (label, options, onChange) => html`
    <label class="filter">
      <span class="hidden">${label}</span>
      <select onChange=${onChange}>
        <option value="" selected>${label}</option>
        ${options.map(([value, name]) => html`<option value=${value}>${name}</option>`)}
      </select>
    </label>
  `;
  const removeAll = () => {
    chosen.forEach(deleteTask);
    onDone();
  };
  return html`
    <div class="bulk-bar" role="region" aria-label=${msg("Selected tasks")}>
      <strong aria-live="polite">${msg("{count} selected", { count: chosen.length })}</strong>
      ${choice(msg("Status"), STATUSES.map((status) => [status, statusName(status)]), apply("status"))}
      ${choice(msg("Priority"), PRIORITIES.map((priority) => [priority, priorityName(priority)]), apply("priority"))}
      ${choice(msg("Assign"), [["none", msg("Nobody")], ...acquaintances.value.map(({ id, name }) => [id, name])], apply("assignee_id", (value) => (value === "none" ? null : Number(value))))}
      <button type="button" class="button danger" onClick=${removeAll}><${Icon} name="trash"
        size=${18} />${msg("Delete")}</button>
      <button type="button" class="icon-button" aria-label=${msg("Select nothing")} onClick=${onDone}><${Icon}
        name="close" /></button>
    </div>
  `;
}
