/** The invitations into groups that the reader has received, each with a button that accepts it. */

import { html, useEffect } from "../ui.js";
import { post } from "../api.js";
import { attempt, notify } from "../notices.js";
import { invitations, readInvitations } from "../notifications.js";
import { readGroups } from "../people.js";
import { msg } from "../texts.js";
import { shortTime } from "../times.js";

export function Invitations() {
  useEffect(() => void readInvitations(), []);
  const accept = async ({ id, group_name: group }) => {
    await attempt(async () => {
      await post(`/invitations/received/${id}/accept`);
      notify(msg("You belong to “{group}” now.", { group }));
    });
    await Promise.allSettled([readInvitations(), readGroups()]);
  };
  if (!invitations.value.length) return null;
  return html`<ul class="panel lines invitations" aria-label=${msg("Invitations")}>
    ${invitations.value.map((invitation) => html`<li key=${invitation.id}>
      <div>
        <p>${msg("{inviter} invites you to the group “{group}”.", { inviter: invitation.inviter_name, group: invitation.group_name })}</p>
        <p class="hint">${msg("Open until: {time}", { time: shortTime(invitation.expires_at) })}</p>
      </div>
      <button type="button" class="button primary" onClick=${() => accept(invitation)}
        aria-label=${msg("Join “{group}”", { group: invitation.group_name })}>${msg("Join")}</button>
    </li>`)}
  </ul>`;
}
