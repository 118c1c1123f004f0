/** The audit log, and the feedback of people. */

import { html } from "../ui.js";
import { nameOf } from "../people.js";
import { route, setParams } from "../router.js";
import { msg } from "../texts.js";
import { fullTime } from "../times.js";
import { Ago } from "../parts/bits.js";
import { Filter } from "../parts/filters.js";
import { Table } from "../parts/table.js";
import { Pages, usePages } from "./pages_of.js";

const account = (id) => (id === null ? "–" : msg("Account {id}", { id }));

export function AuditLog() {
  const { user_id: userId } = route.value.params;
  const pages = usePages("/audit", { user_id: userId });
  const columns = [
    { name: msg("Time"), show: ({ at }) => fullTime(at) },
    { name: msg("What"), show: ({ action }) => html`<code>${action}</code>` },
    { name: msg("Who"), show: ({ actor_id: id }) => account(id) },
    { name: msg("Account"), show: ({ user_id: id }) => account(id) },
    { name: msg("Address"), show: ({ ip_address: address }) => address ?? "–" },
    { name: msg("Details"), show: ({ details, request_id: request }) => html`${Object.keys(details).length ? html`<code>${JSON.stringify(details)}</code>` : null}
      ${request ? html`<p class="hint">${msg("Request {id}", { id: request })}</p>` : null}` },
  ];
  const choose = (event) => setParams({ user_id: event.currentTarget.value });
  return html`
    <div class="operation-bar">
      <div class="filters"><input class="short" type="number" min="1" aria-label=${msg("Number of the account")}
        placeholder=${msg("Number of the account")} defaultValue=${userId ?? ""} key=${userId} onChange=${choose} /></div>
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
