/** The groups of the reader and their members. */

import { html, useState } from "../ui.js";
import { get, patch, post, put, remove } from "../api.js";
import { facts } from "../facts.js";
import { Icon } from "../icons.js";
import { attempt, notify } from "../notices.js";
import { acquaintances, areGroupsRead, groups, nameOf, readGroups } from "../people.js";
import { linkTo } from "../router.js";
import { profile } from "../session.js";
import { newId } from "../tabs.js";
import { msg } from "../texts.js";
import { shortTime } from "../times.js";
import { Avatar, Empty, Skeleton } from "../parts/bits.js";
import { Dialog } from "../parts/dialog.js";
import { FormProblem, SelectField, TextField, useForm } from "../parts/form.js";
import { Invitations } from "../parts/invitations.js";
import { Menu } from "../parts/menu.js";
import { TextInPlace } from "../parts/in_place.js";
import { useReading } from "./reading.js";

export function Groups() {
  const mayCreate = ["manager", "admin"].includes(profile.value?.role);
  const [isCreating, setCreating] = useState(false);
  const sent = useReading(() => get("/invitations?limit=1000"), "");
  const sentFor = (id) => sent.data?.items.filter(({ group_id: group }) => group === id) ?? [];
  return html`
    <div class="page-head">
      <h1>${msg("Groups")}</h1>
      ${mayCreate ? html`<button type="button" class="button" onClick=${() => setCreating(true)}><${Icon} name="plus"
        size=${18} />${msg("New group")}</button>` : null}
    </div>
    <${Invitations} />
    ${areGroupsRead.value ? null : html`<${Skeleton} lines=${4} />`}
    ${areGroupsRead.value && groups.value.length === 0
      ? html`<${Empty} icon="people" title=${msg("You are in no group")}>
          <p>${mayCreate ? msg("Make a group, add people, and give it tasks: all its members see and change them.") : msg("The members of a group see and change its tasks together. A manager of a group can invite you.")}</p>
        <//>`
      : null}
    <div class="group-cards">${groups.value.map((group) => html`<${Group} key=${group.id} group=${group}
      sent=${sentFor(group.id)} onSent=${sent.reload} />`)}</div>
    ${isCreating ? html`<${NewGroup} onClose=${() => setCreating(false)} />` : null}
  `;
}

function NewGroup({ onClose }) {
  const form = useForm(async ({ name }) => {
    await post("/groups", { name }, { key: newId() });
    await readGroups();
    onClose();
  });
  return html`
    <${Dialog} title=${msg("New group")} onClose=${onClose}>
      <form onSubmit=${form.onSubmit}>
        <${FormProblem} text=${form.problem} />
        <${TextField} label=${msg("Name")} name="name" required maxlength="100" data-focus error=${form.fields.name} />
        <div class="dialog-actions">
          <button type="button" class="button" onClick=${onClose}>${msg("Cancel")}</button>
          <button type="submit" class="button primary" disabled=${form.isBusy}>${msg("Create group")}</button>
        </div>
      </form>
    <//>
  `;
}

function Group({ group, sent, onSent }) {
  const { id, name, members } = group;
  const me = profile.value;
  const [dialog, setDialog] = useState(null);
  const isMember = members.some((member) => member.user_id === me?.id);
  const manages = me?.role === "admin" || members.some((member) => member.user_id === me?.id && member.is_manager);
  const act = async (work) => (await attempt(work)) && readGroups().catch(() => {});
  const close = () => setDialog(null);
  const addable = acquaintances.value.filter((person) => !members.some((member) => member.user_id === person.id));
  return html`
    <section class="panel group" aria-label=${name}>
      <header class="panel-head">
        ${manages
          ? html`<${TextInPlace} className="group-name" as="h2" label=${msg("Name")}
            value=${name} required maxlength="100"
            onSave=${(text) => act(() => patch(`/groups/${id}`, { name: text }))} />`
          : html`<h2 class="group-name">${name}</h2>`}
        <a class="button" href=${linkTo("board", { group_id: id })}><${Icon} name="board"
          size=${18} />${msg("Tasks")}</a>
      </header>
      <ul class="members">
        ${members.map((member) => html`<${Member} key=${member.user_id} member=${member} groupId=${id}
          manages=${manages} act=${act} />`)}
      </ul>
      ${sent.length ? html`<h3>${msg("Invited")}</h3>
        <ul class="members">${sent.map((invitation) => html`<${Invited} key=${invitation.id} invitation=${invitation}
          onWithdrawn=${onSent} />`)}</ul>` : null}
      <footer class="row">
        ${manages && (me.role === "admin" || addable.length) ? html`<button type="button" class="link-button"
          onClick=${() => setDialog("add")}>${msg("Add a person")}</button>` : null}
        ${manages && facts.registration !== "closed" ? html`<button type="button" class="link-button"
          onClick=${() => setDialog("invite")}>${msg("Invite by email")}</button>` : null}
        ${isMember ? html`<button type="button" class="link-button"
          onClick=${() => setDialog("leave")}>${msg("Leave")}</button>` : null}
        ${manages ? html`<button type="button" class="link-button danger"
          onClick=${() => setDialog("delete")}>${msg("Delete")}</button>` : null}
      </footer>
      ${dialog === "add" ? html`<${AddMember} group=${group} people=${addable} onClose=${close} />` : null}
      ${dialog === "invite" ? html`<${Invite} group=${group} onSent=${onSent} onClose=${close} />` : null}
      ${dialog === "leave" ? html`<${Confirm} title=${msg("Leave “{name}”?", { name })}
        text=${msg("You no longer see its tasks, except those that are yours.")} button=${msg("Leave")} onClose=${close}
        onConfirm=${() => act(() => remove(`/groups/${id}/members/${me.id}`))} />` : null}
      ${dialog === "delete" ? html`<${Confirm} title=${msg("Delete “{name}”?", { name })}
        text=${msg("Its tasks stay with their owners.")} button=${msg("Delete")} onClose=${close}
        onConfirm=${() => act(() => remove(`/groups/${id}`))} />` : null}
    </section>
  `;
}

function Confirm({ title, text, button, onClose, onConfirm }) {
  const confirmAndClose = async () => {
    await onConfirm();
    onClose();
  };
  return html`
    <${Dialog} title=${title} onClose=${onClose}>
      <p>${text}</p>
      <div class="dialog-actions">
        <button type="button" class="button" onClick=${onClose}>${msg("Cancel")}</button>
        <button type="button" class="button danger" onClick=${confirmAndClose}>${button}</button>
      </div>
    <//>
  `;
}

function Member({ member, groupId, manages, act }) {
  const { user_id: id, is_manager: isManager } = member;
  const path = `/groups/${groupId}/members/${id}`;
  return html`
    <li class="member">
      <${Avatar} id=${id} size="medium" />
      <span class="member-name">${nameOf(id)}</span>
      ${isManager ? html`<span class="tag">${msg("Manager")}</span>` : null}
      ${manages && id !== profile.value?.id
        ? html`<${Menu} label=${msg("Actions for {name}", { name: nameOf(id) })} button=${html`<${Icon}
          name="more" />`}>
            <button type="button"
              onClick=${() => act(() => put(path, { is_manager: !isManager }))}>${isManager ? msg("Make an ordinary member") : msg("Make a manager")}</button>
            <button type="button" onClick=${() => act(() => remove(path))}>${msg("Remove from the group")}</button>
          <//>`
        : null}
    </li>
  `;
}

/** An invitation that nobody has accepted yet. */
function Invited({ invitation: { id, email, expires_at: end }, onWithdrawn }) {
  const withdraw = async () => {
    await attempt(() => remove(`/invitations/${id}`));
    await onWithdrawn();
  };
  return html`
    <li class="member">
      <${Icon} name="clock" />
      <span class="member-name">${email} <span class="hint">${msg("Open until: {time}", { time: shortTime(end) })}</span></span>
      <button type="button" class="link-button" onClick=${withdraw}
        aria-label=${msg("Withdraw the invitation of {email}", { email })}>${msg("Withdraw")}</button>
    </li>
  `;
}

/** Adds people whom the reader knows; an admin may also type the number of any account. */
function AddMember({ group, people, onClose }) {
  const form = useForm(async ({ user_id: id }) => {
    await put(`/groups/${group.id}/members/${Number(id)}`, {});
    await readGroups();
    onClose();
  });
  const listId = `people-${group.id}`;
  const field = { name: "user_id", "data-focus": true, error: form.fields.user_id };
  return html`
    <${Dialog} title=${msg("Add a person to “{name}”", { name: group.name })} onClose=${onClose}>
      <form onSubmit=${form.onSubmit}>
        <${FormProblem} text=${form.problem} />
        ${profile.value.role === "admin"
          ? html`<${TextField} label=${msg("Number of the account")} required inputmode="numeric" pattern="[0-9]+"
              list=${listId} hint=${msg("People find the number of their account in their settings.")} ...${field} />
            <datalist id=${listId}>${people.map(({ id, name }) => html`<option value=${id}>${name}</option>`)}</datalist>`
          : html`<${SelectField} label=${msg("Person")} options=${people.map(({ id, name }) => [String(id), name])}
              hint=${msg("These people are in another group with you, or share a task with you. Invite others by email.")} ...${field} />`}
        <div class="dialog-actions">
          <button type="button" class="button" onClick=${onClose}>${msg("Cancel")}</button>
          <button type="submit" class="button primary" disabled=${form.isBusy}>${msg("Add")}</button>
        </div>
      </form>
    <//>
  `;
}

function Invite({ group, onSent, onClose }) {
  const [token, setToken] = useState("");
  const form = useForm(async ({ email }) => {
    const invitation = await post("/invitations", { email, group_id: group.id });
    void onSent();
    if (invitation.token) {
      setToken(`${location.origin}/${linkTo("invitation", { token: invitation.token })}`);
    } else {
      notify(msg("The invitation was sent to {email}.", { email }));
      onClose();
    }
  });
  return html`
    <${Dialog} title=${msg("Invite to “{name}”", { name: group.name })} onClose=${onClose}>
      ${token
        ? html`<p>${msg("This server sends no mails. Hand this link over yourself; it is shown only now.")}</p><p class="secret">${token}</p>`
        : html`<form onSubmit=${form.onSubmit}>
            <${FormProblem} text=${form.problem} />
            <${TextField} label=${msg("Email")} name="email"
              type="email" required data-focus error=${form.fields.email} />
            <div class="dialog-actions">
              <button type="button" class="button" onClick=${onClose}>${msg("Cancel")}</button>
              <button type="submit" class="button primary" disabled=${form.isBusy}>${msg("Invite")}</button>
            </div>
          </form>`}
    <//>
  `;
}
