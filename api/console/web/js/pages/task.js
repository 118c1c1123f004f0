/** A task with everything that belongs to it. Each field is changed in its place. */

import { html, useEffect, useState } from "../ui.js";
import { facts } from "../facts.js";
import { Icon } from "../icons.js";
import { onEvent } from "../live.js";
import { fieldName, priorityName, statusName } from "../labels.js";
import { explain } from "../notices.js";
import { acquaintances, groups, nameOf } from "../people.js";
import { go, linkTo, route } from "../router.js";
import { profile } from "../session.js";
import { PRIORITIES, STATUSES, changeTask, deleteTask, readTask, renumbered, taskOf, touched } from "../tasks.js";
import { msg } from "../texts.js";
import { Ago, Failed, Person, Skeleton } from "../parts/bits.js";
import { Deadline } from "../parts/deadline.js";
import { FieldSelect, TextInPlace } from "../parts/in_place.js";
import { Comments } from "./task_comments.js";
import { Delegation } from "./task_delegation.js";
import { Files } from "./task_files.js";
import { History } from "./task_history.js";
import { Place } from "./task_place.js";
import { Reminders } from "./task_reminders.js";
import { Duration, TaskWeather } from "./task_weather.js";

export function TaskPage() {
  const asked = Number(route.value.path[1]);
  const id = renumbered.get(asked) ?? asked;
  const [problem, setProblem] = useState("");
  const read = () => {
    setProblem("");
    if (id > 0) readTask(id).catch((error) => setProblem(explain(error)));
  };
  useEffect(read, [id]);
  const task = taskOf(id);
  return html`
    <p class="way-back"><a href=${linkTo("board")} onClick=${goBack}><${Icon} name="back"
      size=${18} />${msg("Back")}</a></p>
    ${task ? html`<${Task} task=${task} key=${task.id} />` : problem ? html`<${Failed} text=${problem}
      onRetry=${read} />` : html`<${Skeleton} lines=${6} />`}
  `;
}

/** Goes to where the reader came from, if that was in the console. */
function goBack(event) {
  if (history.length < 2) return;
  event.preventDefault();
  history.back();
}

/**
 * Counts the events of a task by their types, so that what belongs to it can be read again.
 * @returns {(...types: string[]) => number} how many events of these types there were, or of all types if none is given
 */
function useEventCounts(taskId) {
  const [counts, setCounts] = useState({});
  useEffect(
    () =>
      onEvent(({ task_id: id, type }) => {
        if (id === taskId) setCounts((before) => ({ ...before, [type]: (before[type] ?? 0) + 1 }));
      }),
    [taskId],
  );
  return (...types) => (types.length ? types : Object.keys(counts)).reduce((sum, type) => sum + (counts[type] ?? 0), 0);
}

function Task({ task }) {
  const events = useEventCounts(task.id);
  useEffect(() => void (document.title = `${task.title} · ${facts.name}`), [task.title]);
  const touch = touched.value.get(task.id);
  // A change is based on the task that the person saw when the editing began.
  const save = (fields, told, basis = task) => changeTask(basis, fields, told).catch(() => {}); // The person has been told.
  const remove = () => {
    deleteTask(task);
    go("board");
  };
  const isStored = task.id > 0;
  return html`
    <article class="task">
      <header class="task-head">
        <${TextInPlace} className="task-title" as="h1" label=${fieldName("title")} value=${task.title}
          basis=${task} required maxlength="255" onSave=${(title, basis) => save({ title }, null, basis)} />
        <p class="hint">
          ${msg("Created by {name}", { name: nameOf(task.user_id) })} · <${Ago} at=${task.created_at} />
          ${touch ? html` · <strong class="touched-by">${msg("Changed by {name}", { name: nameOf(touch.by) })}</strong>` : null}
          ${task.isWaiting ? html` · <strong>${msg("Waits to be sent")}</strong>` : null}
        </p>
      </header>
      <section aria-label=${fieldName("description")}>
        <${TextInPlace} className="task-description" as="div" label=${fieldName("description")}
          value=${task.description ?? ""} multiline maxlength="5000" basis=${task}
          placeholder=${msg("Add a description")} onSave=${(description, basis) => save({ description: description || null }, null, basis)} />
      </section>
      <aside class="task-facts" aria-label=${msg("Details")}>
        <${FieldSelect} label=${fieldName("status")} value=${task.status}
          options=${STATUSES.map((status) => [status, statusName(status)])}
          onSave=${(status) => save({ status }, msg("“{title}” is now in “{status}”.", { title: task.title, status: statusName(status) }))} />
        <${FieldSelect} label=${fieldName("priority")} value=${task.priority}
          options=${PRIORITIES.map((priority) => [priority, priorityName(priority)])}
          onSave=${(priority) => save({ priority }, msg("The priority is now “{priority}”.", { priority: priorityName(priority) }))} />
        <${Deadline} task=${task} onSave=${(due, basis) => save(due, msg("The deadline was changed."), basis)} />
        <${Duration} task=${task} save=${save} />
        <${Assignment} task=${task} save=${save} />
        <${Place} task=${task} save=${save} />
        <${TaskWeather} task=${task} save=${save} />
        ${isStored ? html`<${Reminders} task=${task} events=${events("task.reminder")} /><${Delegation} task=${task}
          events=${events("task.delegated")} />` : null}
        ${task.user_id === profile.value?.id || profile.value?.role === "admin"
          ? html`<button type="button" class="link-button danger delete-task" onClick=${remove}><${Icon} name="trash"
            size=${18} />${msg("Delete this task")}</button>`
          : null}
      </aside>
      ${isStored
        ? html`
            <${Comments} taskId=${task.id} ownerId=${task.user_id} events=${events("task.commented")} />
            <${Files} taskId=${task.id} ownerId=${task.user_id} events=${events("task.attached", "task.detached")} />
            <${History} taskId=${task.id} events=${events()} />
          `
        : html`<p class="note">${msg("Comments and files can be added when the task has been sent.")}</p>`}
    </article>
  `;
}

/** Returns whether the reader may give the task to a person or a group. */
function mayAssign(task) {
  const me = profile.value;
  const group = groups.value.find(({ id }) => id === task.group_id);
  return task.user_id === me?.id || me?.role === "admin" || Boolean(group?.members.some((member) => member.user_id === me?.id && member.is_manager));
}

function Assignment({ task, save }) {
  if (!mayAssign(task)) {
    return html`<div class="fact-field"><span class="fact-label">${fieldName("assignee_id")}</span>${task.assignee_id ? html`<${Person}
      id=${task.assignee_id} />` : msg("Nobody")}</div>`;
  }
  const people = acquaintances.value.map(({ id, name }) => [String(id), name]);
  if (task.assignee_id && !people.some(([id]) => id === String(task.assignee_id))) people.push([String(task.assignee_id), nameOf(task.assignee_id)]);
  const number = (value) => (value ? Number(value) : null);
  return html`
    <${FieldSelect} label=${fieldName("assignee_id")} value=${String(task.assignee_id ?? "")}
      options=${[["", msg("Nobody")], ...people]}
      onSave=${(value) => save({ assignee_id: number(value) }, msg("The task was assigned."))} />
    ${groups.value.length || task.group_id
      ? html`<${FieldSelect} label=${fieldName("group_id")} value=${String(task.group_id ?? "")}
        options=${[["", msg("No group")], ...groups.value.map(({ id, name }) => [String(id), name])]}
          onSave=${(value) => save({ group_id: number(value) }, msg("The task was given to another group."))} />`
      : null}
  `;
}
