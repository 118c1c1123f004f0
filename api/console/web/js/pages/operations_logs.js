/** The audit log, and the feedback of people. */

import { html } from "../ui.js";
import { save } from "../api.js";
import { csvOf } from "../csv.js";
import { Icon } from "../icons.js";
import { nameOf } from "../people.js";
import { linkTo, route, setParams } from "../router.js";
import { msg } from "../texts.js";
import { fullTime } from "../times.js";
import { Ago } from "../parts/bits.js";
import { Filter } from "../parts/filters.js";
import { Table } from "../parts/table.js";
import { Pages, usePages } from "./pages_of.js";

const ACTIONS = {
  "account.registered": () => msg("Registered"),
  "login.succeeded": () => msg("Logged in"),
  "login.failed": () => msg("Login failed"),
  "login.delayed": () => msg("Login delayed"),
  "refresh.reused": () => msg("Refresh token reused"),
  "sessions.ended": () => msg("Sessions ended"),
  "profile.changed": () => msg("Profile changed"),
  "email.verification_sent": () => msg("Confirmation of the email asked for"),
  "email.verified": () => msg("Email confirmed"),
  "email.change_requested": () => msg("Change of the email begun"),
  "email.changed": () => msg("Email changed"),
  "password.changed": () => msg("Password changed"),
  "password.refused": () => msg("Password refused"),
  "password.reset_requested": () => msg("New password asked for"),
  "password.reset": () => msg("Password replaced"),
  "token.created": () => msg("Token created"),
  "account.changed": () => msg("Account changed"),
  "account.deleted": () => msg("Account deleted"),
  "data.exported": () => msg("Data exported"),
  "invitation.created": () => msg("Invited"),
  "invitation.accepted": () => msg("Invitation accepted"),
  "invitation.deleted": () => msg("Invitation withdrawn"),
  "member.put": () => msg("Member added or changed"),
  "member.removed": () => msg("Member removed"),
  "work.retried": () => msg("Failed work tried again"),
  "work.dropped": () => msg("Failed work dropped"),
};
const FILTERS = ["action", "at_from", "at_to", "actor_id", "user_id", "ip_address"];
const FIELDS = ["at", "action", "actor_id", "user_id", "ip_address", "request_id", "details"];

/** A filter that is typed; it stands in the address under its name. */
const TypedFilter = ({ name, label, ...input }) => {
  const value = route.value.params[name] ?? "";
  return html`<label class=${`filter typed${value ? " active" : ""}`}><span>${label}</span>
    <input ...${input} key=${value} defaultValue=${value}
      onChange=${(event) => setParams({ [name]: event.currentTarget.value.trim() })} /></label>`;
};

export function AuditLog() {
  const { params } = route.value;
  const filters = Object.fromEntries(FILTERS.map((name) => [name, params[name]]));
  const pages = usePages("/audit", filters);
  /** A value that leads to all entries that have it too. */
  const only = (name, value, text) =>
    value === null ? "–" : html`<a href=${linkTo("operations/audit", { ...params, [name]: value })}>${text}</a>`;
  const account = (name, id) => only(name, id, msg("Account {id}", { id }));
  const columns = [
    { name: msg("Time"), show: ({ at }) => fullTime(at) },
    { name: msg("What"), show: ({ action }) => html`${only("action", action, ACTIONS[action]?.() ?? action)}
      <p class="hint"><code>${action}</code></p>` },
    { name: msg("Who"), show: ({ actor_id: id }) => account("actor_id", id) },
    { name: msg("Account"), show: ({ user_id: id }) => account("user_id", id) },
    { name: msg("Address"), show: ({ ip_address: address }) => only("ip_address", address, address) },
    { name: msg("Details"), show: ({ details, request_id: request }) => html`${Object.keys(details).length ? html`<code>${JSON.stringify(details)}</code>` : null}
      ${request ? html`<p class="hint">${msg("Request {id}", { id: request })}</p>` : null}` },
  ];
  const download = () => {
    const rows = pages.items.map((entry) => FIELDS.map((name) => (name === "details" ? JSON.stringify(entry.details) : entry[name] ?? "")));
    save(new Blob([csvOf(FIELDS, rows)], { type: "text/csv" }), "allweather-audit.csv");
  };
  return html`
    <div class="operation-bar">
      <div class="filters" role="group" aria-label=${msg("Filters")}>
        <${Filter} name="action" label=${msg("Any action")}
          options=${Object.entries(ACTIONS).map(([action, name]) => [action, name()])} />
        <${TypedFilter} name="at_from" label=${msg("From")} type="date" />
        <${TypedFilter} name="at_to" label=${msg("To")} type="date" />
        <${TypedFilter} name="actor_id" label=${msg("Who (number)")} type="number" min="1" />
        <${TypedFilter} name="user_id" label=${msg("Account (number)")} type="number" min="1" />
        <${TypedFilter} name="ip_address" label=${msg("Address")} spellcheck=${false} />
        ${FILTERS.some((name) => params[name]) ? html`<button type="button" class="link-button clear-filters"
          onClick=${() => setParams(Object.fromEntries(FILTERS.map((name) => [name, ""])))}><${Icon} name="close"
            size=${16} />${msg("Clear filters")}</button>` : null}
      </div>
      ${pages.items?.length ? html`<button type="button" class="button" onClick=${download}><${Icon} name="download"
        size=${18} />CSV</button>` : null}
    </div>
    <${Pages} pages=${pages} empty=${msg("The audit log has no such entry.")}>
      ${(items) => html`<${Table} caption=${msg("Audit log")} columns=${columns} rows=${items} keyOf=${({ id }) => id} />`}
    <//>
  `;
}

const RATINGS = ["5", "4", "3", "2", "1"];

export function FeedbackList() {
  const pages = usePages("/feedback", { rating: route.value.params.rating });
  return html`
    <div class="operation-bar"><div class="filters">
      <${Filter} name="rating" label=${msg("Any rating")}
        options=${RATINGS.map((rating) => [rating, msg("{rating} of 5", { rating })])} />
    </div></div>
    <${Pages} pages=${pages} empty=${msg("Nobody has given feedback yet.")}>
      ${(items) => html`<ul class="panel lines">${items.map(
        ({ id, rating, message, user_id: userId, created_at: at }) => html`<li key=${id}><div>
          <p><strong>${msg("{rating} of 5", { rating })}</strong>${message ? ` · ${message}` : ""}</p>
          <p class="hint">${userId ? nameOf(userId) : msg("A deleted account")} · <${Ago} at=${at} /></p>
        </div></li>`,
      )}</ul>`}
    <//>
  `;
}
