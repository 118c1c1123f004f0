/** The page to which the link of an invitation leads, for people who are signed in. */

import { html } from "../ui.js";
import { post } from "../api.js";
import { notify } from "../notices.js";
import { readGroups } from "../people.js";
import { go, route } from "../router.js";
import { profile } from "../session.js";
import { msg } from "../texts.js";
import { FormProblem, useForm } from "../parts/form.js";

export function Invitation() {
  const form = useForm(async () => {
    await post("/invitations/accept", { token: route.value.params.token ?? "" });
    await readGroups();
    notify(msg("Invitation accepted"));
    go("groups", {}, { replace: true });
  });
  const { email, username } = profile.value;
  return html`
    <div class="page-head"><h1>${msg("You are invited")}</h1></div>
    <form class="panel" onSubmit=${form.onSubmit}>
      <p>${msg("You are signed in as {name}. If the invitation was sent to another address, sign out first.", { name: email ?? username })}</p>
      <${FormProblem} text=${form.problem || Object.values(form.fields)[0]} />
      <button type="submit" class="button primary" disabled=${form.isBusy}>${msg("Accept the invitation")}</button>
    </form>
  `;
}
