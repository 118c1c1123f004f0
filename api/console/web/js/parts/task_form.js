/** The dialog for a new task. */

import { html, signal } from "../ui.js";
import { PRIORITIES, STATUSES, createTask } from "../tasks.js";
import { priorityName, statusName } from "../labels.js";
import { acquaintances, groups } from "../people.js";
import { profile } from "../session.js";
import { msg } from "../texts.js";
import { instantOf } from "../times.js";
import { DeadlineField } from "./deadline.js";
import { Dialog } from "./dialog.js";
import { AreaField, FormProblem, SelectField, TextField, useForm } from "./form.js";

/** The values with which the dialog is open, or null. */
export const newTask = signal(null);

/** Opens the dialog. */
export function openNewTask(values = {}) {
  newTask.value = values;
}

/** Returns the writable fields of a task for the values of a form. */
function fieldsOf(values) {
  const fields = { title: values.title, status: values.status, priority: values.priority };
  if (values.description) fields.description = values.description;
  if (values.due_at) fields.due_at = instantOf(values.due_at);
  if (values.due_on) fields.due_on = values.due_on;
  if (values.city) fields.city = values.city;
  if (values.assignee_id) fields.assignee_id = Number(values.assignee_id);
  if (values.group_id) fields.group_id = Number(values.group_id);
  return fields;
}

export function NewTaskDialog() {
  return newTask.value ? html`<${TaskForm} values=${newTask.value} />` : null;
}

function TaskForm({ values }) {
  const close = () => (newTask.value = null);
  const form = useForm(async (entered) => {
    await createTask(fieldsOf(entered));
    close();
  });
  return html`
    <${Dialog} title=${msg("New task")} onClose=${close}>
      <form onSubmit=${form.onSubmit} novalidate>
        <${FormProblem} text=${form.problem} />
        <${TextField} label=${msg("Title")} name="title" required maxlength="255" data-focus autocomplete="off"
          error=${form.fields.title} />
        <${AreaField} label=${msg("Description")} name="description" maxlength="5000" rows="3"
          error=${form.fields.description} />
        <div class="field-pair">
          <${SelectField} label=${msg("Status")} name="status" value=${values.status ?? "todo"}
            options=${STATUSES.map((status) => [status, statusName(status)])} />
          <${SelectField} label=${msg("Priority")} name="priority" value=${values.priority ?? "medium"}
            options=${PRIORITIES.map((priority) => [priority, priorityName(priority)])} />
        </div>
        <div class="field-pair">
          <${DeadlineField} error=${form.fields.due_at ?? form.fields.due_on} />
          <${TextField} label=${msg("City")} name="city" maxlength="120" autocomplete="off"
            hint=${msg("For the weather.")} error=${form.fields.city} />
        </div>
        <div class="field-pair">
          <${SelectField} label=${msg("Assigned to")} name="assignee_id" value="" error=${form.fields.assignee_id}
            options=${[["", msg("Nobody")], ...acquaintances.value.map(({ id, name }) => [String(id), id === profile.value?.id ? msg("{name} (you)", { name }) : name])]} />
          <${SelectField} label=${msg("Group")} name="group_id" value="" error=${form.fields.group_id}
            options=${[["", msg("No group")], ...groups.value.map(({ id, name }) => [String(id), name])]} />
        </div>
        <div class="dialog-actions">
          <button type="button" class="button" onClick=${close}>${msg("Cancel")}</button>
          <button type="submit" class="button primary" disabled=${form.isBusy}>${msg("Create task")}</button>
        </div>
      </form>
    <//>
  `;
}
