/** The board: a column for each status. Cards are moved with the mouse, by touch and with the keyboard. */

import { html, classes, useEffect, useLayoutEffect, useMemo, useRef } from "../ui.js";
import { Icon } from "../icons.js";
import { statusName } from "../labels.js";
import { announce } from "../notices.js";
import { nameOf } from "../people.js";
import { TaskList } from "../queries.js";
import { linkTo } from "../router.js";
import { STATUSES, changeTask, taskOf, touched } from "../tasks.js";
import { msg } from "../texts.js";
import { Avatar, Due, Empty, Failed, Priority, Skeleton, Weather, WeatherState } from "../parts/bits.js";
import { Filters, filtersInAddress } from "../parts/filters.js";
import { openNewTask } from "../parts/task_form.js";
import { carried, dragged, onCardKey, overColumn, startDrag } from "./board_moves.js";

/** What is done is sorted by when it was done; what is open by how much it presses. */
const SORTS = { todo: "-priority,due_at", in_progress: "-priority,due_at", done: "-updated_at" };

export function Board() {
  const filters = filtersInAddress();
  const key = JSON.stringify(filters);
  const lists = useMemo(
    () => STATUSES.map((status) => new TaskList({ ...filters, status }, filters.q ? "-relevance" : SORTS[status])),
    [key],
  );
  useEffect(() => () => lists.forEach((list) => list.stop()), [lists]);
  const isEmpty = lists.every((list) => list.read.value.total !== null && list.items.value.length === 0);
  return html`
    <div class="page-head"><h1>${msg("Board")}</h1><${Filters} /></div>
    <p class="hidden"
      id="card-help">${msg("Press Space to pick the card up, arrow keys to carry it, Space again to put it down.")}</p>
    ${isEmpty && Object.keys(filters).length === 0 ? html`<${FirstTask} />` : null}
    <div class="board">
      ${STATUSES.map((status, index) => html`<${Column} key=${status} status=${status} list=${lists[index]} />`)}
    </div>
  `;
}

const FirstTask = () => html`
  <${Empty} icon="board" title=${msg("No tasks yet")}>
    <p>${msg("Create the first one. With a city it gets its weather, and people you assign it to see it at once.")}</p>
    <button type="button" class="button primary" onClick=${() => openNewTask()}><${Icon} name="plus"
      size=${18} />${msg("New task")}</button>
  <//>
`;

function Column({ status, list }) {
  const items = list.items.value;
  const total = list.total.value;
  const isFirstRead = list.isLoading.value && list.read.value.total === null;
  const headingId = `column-${status}`;
  return html`
    <section class=${classes(`column column-${status}`, { target: overColumn.value === status })} data-status=${status}
      aria-labelledby=${headingId}>
      <header class="column-head">
        <h2 id=${headingId}>${statusName(status)}</h2>
        <span class="count" aria-label=${msg("{count} tasks", { count: total ?? "…" })}>${total ?? "…"}</span>
        <button type="button" class="icon-button small"
          aria-label=${msg("New task: {status}", { status: statusName(status) })}
          onClick=${() => openNewTask({ status })}>
          <${Icon} name="plus" size=${18} />
        </button>
      </header>
      ${list.problem.value ? html`<${Failed} text=${list.problem.value} onRetry=${() => list.reload()} />` : null}
      ${isFirstRead
        ? html`<div class="cards" aria-busy="true">${[0, 1, 2].map((index) => html`<div class="card"
          key=${index}><${Skeleton} lines=${2} /></div>`)}</div>`
        : html`<ul class="cards" aria-labelledby=${headingId}>
            ${items.map((task) => html`<${Card} key=${task.id} task=${task} />`)}
          </ul>`}
      ${!isFirstRead && items.length === 0 ? html`<p class="column-empty">${EMPTY[status]()}</p>` : null}
      ${list.read.value.cursor
        ? html`<button type="button" class="link-button more" disabled=${list.isLoading.value}
          onClick=${() => list.more()}>${msg("Show more")}</button>`
        : null}
    </section>
  `;
}

const EMPTY = {
  todo: () => msg("Nothing to do here."),
  in_progress: () => msg("Drag a card here when you begin."),
  done: () => msg("What is done will stand here."),
};

/** Moves a card to another column. */
export function moveCard(id, status) {
  const task = taskOf(id);
  if (!task || task.status === status) return;
  const told = msg("“{title}” is now in “{status}”.", { title: task.title, status: statusName(status) });
  changeTask(task, { status }, told).catch(() => {}); // The person has been told.
  announce(told);
}

function Card({ task }) {
  const card = useRef(null);
  const touch = touched.value.get(task.id);
  const isCarried = carried.value?.id === task.id;
  // A card that moves to another column is a new element there, which gets the focus back.
  useLayoutEffect(() => {
    if (isCarried) card.current.querySelector("a").focus();
  }, []);
  return html`
    <li
      ref=${card}
      class=${classes("card", { touched: touch, carried: isCarried, dragged: dragged.value === task.id, waiting: task.isWaiting })}
      data-id=${task.id}
      onPointerDown=${(event) => startDrag(event, task.id, moveCard)}
      onKeyDown=${(event) => onCardKey(event, task, moveCard)}
    >
      <a class="card-title" href=${linkTo(`tasks/${task.id}`)} draggable=${false}
        aria-describedby="card-help">${task.title}</a>
      <div class="card-facts">
        ${task.priority === "medium" ? null : html`<${Priority} value=${task.priority} />`}
        <${Due} task=${task} />
        <${Weather} task=${task} />
        <${WeatherState} value=${task.weather_state} />
        <span class="card-end">
          ${task.isWaiting ? html`<span class="fact" title=${msg("Waits to be sent")}><${Icon} name="clock"
            size=${16} /><span class="hidden">${msg("Waits to be sent")}</span></span>` : null}
          ${task.assignee_id ? html`<span class="hidden">${nameOf(task.assignee_id)}</span><${Avatar}
            id=${task.assignee_id} />` : null}
        </span>
      </div>
      ${touch ? html`<p class="touched-by">${msg("Changed by {name}", { name: nameOf(touch.by) })}</p>` : null}
    </li>
  `;
}
