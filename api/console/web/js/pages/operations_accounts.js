/** The accounts, for admins: their roles, whether they may log in, and links for a new password. */

import { html, useState } from "../ui.js";
import { patch, post } from "../api.js";
import { facts } from "../facts.js";
import { attempt, notify } from "../notices.js";
import { linkTo, route, setParams } from "../router.js";
import { msg } from "../texts.js";
import { Ago } from "../parts/bits.js";
import { Dialog } from "../parts/dialog.js";
import { Filter } from "../parts/filters.js";
import { Table } from "../parts/table.js";
import { Pages, usePages } from "./pages_of.js";

const ROLES = { user: () => msg("User"), manager: () => msg("Manager"), admin: () => msg("Admin") };
const roleOptions = () => Object.entries(ROLES).map(([role, name]) => [role, name()]);

export function Accounts() {
  const { q, role, is_active: isActive } = route.value.params;
  const pages = usePages("/users", { q, role, is_active: isActive });
  const [asked, setAsked] = useState(null);
  const change = async (account, changes, told) => {
    setAsked(null);
    await attempt(async () => {
      await patch(`/users/${account.id}`, changes);
      notify(told);
    });
    await pages.reload();
  };
  const sendLink = (account) =>
    attempt(async () => {
      await post(`/users/${account.id}/password_reset`);
      notify(msg("{name} gets a mail with a link for a new password.", { name: account.username }));
    });
  const columns = [
    { name: msg("Account"), show: (account) => html`<strong>${account.full_name || account.username}</strong>
      <p class="hint">${account.id} · ${account.email ?? account.username}</p>` },
    { name: msg("Role"), show: (account) => html`<select aria-label=${msg("Role of {name}", { name: account.username })}
      onChange=${(event) => {
        setAsked({ account, changes: { role: event.currentTarget.value } });
        event.currentTarget.value = account.role;
      }}>${roleOptions().map(([value, name]) => html`<option value=${value}
        selected=${value === account.role}>${name}</option>`)}</select>` },
    { name: msg("State"), show: (account) => (account.is_active ? msg("Active") : html`<span class="state state-warn">${msg("Disabled")}</span>`) },
    { name: msg("Created"), show: (account) => html`<${Ago} at=${account.created_at} />` },
    { name: msg("Actions"), show: (account) => html`<span class="row">
      <button type="button" class="link-button" onClick=${() => setAsked({ account, changes: { is_active: !account.is_active } })}
        aria-label=${account.is_active ? msg("Disable {name}", { name: account.username }) : msg("Enable {name}", { name: account.username })}>
        ${account.is_active ? msg("Disable") : msg("Enable")}</button>
      ${facts.mail && account.email && account.is_active ? html`<button type="button" class="link-button"
        aria-label=${msg("Send {name} a link for a new password", { name: account.username })}
        onClick=${() => sendLink(account)}>${msg("New password")}</button>` : null}
      <a href=${linkTo("operations/audit", { user_id: account.id })}
        aria-label=${msg("Audit log of {name}", { name: account.username })}>${msg("Audit log")}</a>
    </span>` },
  ];
  return html`
    <div class="operation-bar"><form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <input class="short" type="search" aria-label=${msg("Search accounts")} placeholder=${msg("Name or email")} maxlength="200" defaultValue=${q ?? ""}
        onChange=${(event) => setParams({ q: event.currentTarget.value.trim() })} />
      <${Filter} name="role" label=${msg("Any role")} options=${roleOptions()} />
      <${Filter} name="is_active" label=${msg("Any state")}
        options=${[["true", msg("Active")], ["false", msg("Disabled")]]} />
    </form></div>
    <${Pages} pages=${pages} empty=${msg("No account matches.")}>
      ${(items) => html`<${Table} caption=${msg("Accounts")} columns=${columns} rows=${items} keyOf=${({ id }) => id} />`}
    <//>
    ${asked ? html`<${Dialog} title=${msg("Change the account of {name}?", { name: asked.account.username })}
      onClose=${() => setAsked(null)}>
      <p>${asked.changes.role ? msg("The role becomes “{role}”.", { role: ROLES[asked.changes.role]() }) : asked.changes.is_active ? msg("The person can log in again.") : msg("The person can no longer log in.")}
        ${" "}${msg("All sessions of the account end.")}</p>
      <div class="dialog-actions">
        <button type="button" class="button" data-focus onClick=${() => setAsked(null)}>${msg("Cancel")}</button>
        <button type="button" class="button primary"
          onClick=${() => change(asked.account, asked.changes, msg("The account was changed."))}>${msg("Save")}</button>
      </div>
    <//>` : null}
  `;
}
