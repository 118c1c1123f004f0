/** Passing a task on to another person, and who has done so before. */

import { html, useState } from "../ui.js";
import { get, post } from "../api.js";
import { Icon } from "../icons.js";
import { acquaintances, nameOf } from "../people.js";
import { profile } from "../session.js";
import { learn } from "../tasks.js";
import { msg } from "../texts.js";
import { Ago } from "../parts/bits.js";
import { Dialog } from "../parts/dialog.js";
import { AreaField, FormProblem, SelectField, useForm } from "../parts/form.js";
import { useReading } from "./reading.js";

export function Delegation({ task, events }) {
  const reading = useReading(() => get(`/tasks/${task.id}/delegations`), `${task.id} ${events}`);
  const [isOpen, setOpen] = useState(false);
  const me = profile.value;
  const mayDelegate = [task.user_id, task.assignee_id].includes(me?.id) || me?.role === "admin";
  const before = reading.data ?? [];
  if (!mayDelegate && before.length === 0) return null;
  return html`
    <section class="fact-field" aria-labelledby="delegation">
      <h2 class="fact-label" id="delegation">${msg("Delegation")}</h2>
      <ol class="delegations">
        ${before.map(
          ({ id, from_id: from, to_id: to, note, created_at: at }) => html`<li key=${id}>
            <p>${from ? nameOf(from) : msg("Nobody")} → <strong>${nameOf(to)}</strong> <span class="hint"><${Ago}
              at=${at} /></span></p>
            ${note ? html`<p class="hint">“${note}”</p>` : null}
          </li>`,
        )}
      </ol>
      ${mayDelegate ? html`<button type="button" class="button" onClick=${() => setOpen(true)}><${Icon} name="share"
        size=${18} />${msg("Pass on")}</button>` : null}
      ${isOpen ? html`<${DelegateDialog} task=${task} onClose=${() => setOpen(false)} />` : null}
    </section>
  `;
}

function DelegateDialog({ task, onClose }) {
  const people = acquaintances.value.filter(({ id }) => id !== task.assignee_id).map(({ id, name }) => [String(id), name]);
  const form = useForm(async ({ assignee_id: to, note }) => {
    learn([await post(`/tasks/${task.id}/delegate`, { assignee_id: Number(to), ...(note ? { note } : {}) })]);
    onClose();
  });
  return html`
    <${Dialog} title=${msg("Pass the task on")} onClose=${onClose}>
      <form onSubmit=${form.onSubmit}>
        <${FormProblem} text=${form.problem} />
        <${SelectField} label=${msg("To whom")} name="assignee_id" options=${people} error=${form.fields.assignee_id}
          hint=${msg("People of your groups, and those with whom you share tasks.")} />
        <${AreaField} label=${msg("Note")} name="note" maxlength="1000" rows="3" error=${form.fields.note} />
        <div class="dialog-actions">
          <button type="button" class="button" onClick=${onClose}>${msg("Cancel")}</button>
          <button type="submit" class="button primary" disabled=${form.isBusy}>${msg("Pass on")}</button>
        </div>
      </form>
    <//>
  `;
}
