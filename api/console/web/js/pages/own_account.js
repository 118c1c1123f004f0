/** The reader's own data: everything as a file, and the deletion of the account. */

import { html, useState } from "../ui.js";
import { download, post } from "../api.js";
import { attempt } from "../notices.js";
import { forgetAll } from "../outbox.js";
import { endEverywhere, profile } from "../session.js";
import { msg } from "../texts.js";
import { Dialog } from "../parts/dialog.js";
import { FormProblem, TextField, useForm } from "../parts/form.js";
import { Panel } from "../parts/panel.js";

export function OwnAccount() {
  const [isBusy, setBusy] = useState(false);
  const [isAsked, setAsked] = useState(false);
  const onExport = async () => {
    setBusy(true);
    await attempt(() => download("/users/me/export", "allweather-export.json"));
    setBusy(false);
  };
  return html`
    <${Panel} id="own-data" title=${msg("Your data")}>
      <p>${msg("You can save everything that is stored about you in one file (JSON), without the contents of files.")}</p>
      <div class="row">
        <button type="button" class="button" disabled=${isBusy} onClick=${onExport}>${msg("Save my data")}</button>
        <button type="button" class="button danger"
          onClick=${() => setAsked(true)}>${msg("Delete my account")}</button>
      </div>
      ${isAsked ? html`<${Deletion} onClose=${() => setAsked(false)} />` : null}
    <//>
  `;
}

function Deletion({ onClose }) {
  const form = useForm(async ({ current_password: password }) => {
    const { id } = profile.peek();
    await post("/users/me/delete", { current_password: password });
    forgetAll(id);
    endEverywhere(msg("Your account was deleted."));
  });
  return html`
    <${Dialog} title=${msg("Delete your account?")} onClose=${onClose}>
      <p><strong>${msg("Deleted for good:")}</strong>
        ${" "}${msg("your profile, sessions and tokens, your tasks with their comments, files and reminders, and the files that you have added to tasks of others.")}</p>
      <p><strong>${msg("What remains:")}</strong>
        ${" "}${msg("tasks of others that were assigned to you, then assigned to nobody; your comments on them and your feedback, without your name; groups; and the entries of the audit log.")}</p>
      <p>${msg("This cannot be undone.")}</p>
      <form onSubmit=${form.onSubmit}>
        <${FormProblem} text=${form.problem} />
        <${TextField} label=${msg("Present password")} name="current_password" type="password" required data-focus
          autocomplete="current-password" error=${form.fields.current_password} />
        <div class="dialog-actions">
          <button type="button" class="button" onClick=${onClose}>${msg("Cancel")}</button>
          <button type="submit" class="button danger" disabled=${form.isBusy}>${msg("Delete my account")}</button>
        </div>
      </form>
    <//>
  `;
}
