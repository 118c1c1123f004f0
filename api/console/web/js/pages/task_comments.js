/** The comments of a task. One that is written without a connection is sent later. */

import { html } from "../ui.js";
import { get, patch, remove } from "../api.js";
import { attempt, notify } from "../notices.js";
import { submit, waiting } from "../outbox.js";
import { nameOf } from "../people.js";
import { profile } from "../session.js";
import { msg } from "../texts.js";
import { Ago, Avatar } from "../parts/bits.js";
import { TextInPlace } from "../parts/in_place.js";
import { FormProblem, useForm } from "../parts/form.js";
import { Reading, useReading } from "./reading.js";

const LIMIT = 200;

export function Comments({ taskId, ownerId, events }) {
  const unsent = waiting.value.filter((change) => change.kind === "comment" && change.taskId === taskId && !change.refusal);
  const reading = useReading(() => get(`/tasks/${taskId}/comments?limit=${LIMIT}`), `${taskId} ${events} ${unsent.length}`);
  const form = useForm(async ({ body }, element) => {
    const outcome = await submit("comment", taskId, { fields: { body } });
    if (outcome === "waiting") notify(msg("Kept on this device. It is sent when the connection is back."));
    element.reset();
  });
  const onKeyDown = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.form.requestSubmit();
  };
  return html`
    <section class="part" aria-labelledby="comments">
      <h2 id="comments">${msg("Comments")}</h2>
      <${Reading} reading=${reading}>
        ${({ items }) => html`
          <ol class="comments">
            ${items.map((comment) => html`<${Comment} key=${comment.id} comment=${comment} ownerId=${ownerId}
              onChange=${reading.reload} />`)}
            ${unsent.map((change) => html`<${Unsent} key=${change.id} change=${change} />`)}
          </ol>
          ${items.length + unsent.length === 0 ? html`<p class="hint">${msg("Nobody has said anything yet.")}</p>` : null}
        `}
      <//>
      <form class="comment-form" onSubmit=${form.onSubmit}>
        <${FormProblem} text=${form.problem || form.fields.body} />
        <textarea name="body" rows="2" required maxlength="5000" aria-label=${msg("Write a comment")}
          placeholder=${msg("Write a comment")} onKeyDown=${onKeyDown}></textarea>
        <button type="submit" class="button" disabled=${form.isBusy}>${msg("Comment")}</button>
      </form>
    </section>
  `;
}

function Comment({ comment, ownerId, onChange }) {
  const { id, task_id: taskId, user_id: authorId, body } = comment;
  const isMine = authorId === profile.value?.id;
  const mayDelete = isMine || ownerId === profile.value?.id || profile.value?.role === "admin";
  const path = `/tasks/${taskId}/comments/${id}`;
  const act = async (work) => (await attempt(work)) && onChange();
  return html`
    <li class="comment">
      ${authorId ? html`<${Avatar} id=${authorId} size="medium" />` : html`<span class="avatar avatar-medium"></span>`}
      <div class="comment-content">
        <p class="comment-head">
          <strong>${nameOf(authorId)}</strong> <${Ago} at=${comment.created_at} />
          ${mayDelete ? html`<button type="button" class="link-button"
            onClick=${() => act(() => remove(path))}>${msg("Delete")}</button>` : null}
        </p>
        ${isMine
          ? html`<${TextInPlace} className="comment-body" as="div" label=${msg("Comment")}
            value=${body} multiline required maxlength="5000"
            onSave=${(text) => act(() => patch(path, { body: text }))} />`
          : html`<p class="comment-body">${body}</p>`}
      </div>
    </li>
  `;
}

const Unsent = ({ change }) => html`
  <li class="comment waiting">
    <${Avatar} id=${profile.value.id} size="medium" />
    <div class="comment-content">
      <p class="comment-head"><strong>${nameOf(profile.value.id)}</strong> ${msg("Waits to be sent")}</p>
      <p class="comment-body">${change.fields.body}</p>
    </div>
  </li>
`;
