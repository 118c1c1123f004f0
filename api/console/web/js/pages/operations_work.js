/** Work that failed: what, for whom and why, with another attempt or the end of it. */

import { html, useEffect, useState } from "../ui.js";
import { post } from "../api.js";
import { attempt, notify } from "../notices.js";
import { linkTo, route } from "../router.js";
import { msg } from "../texts.js";
import { fullTime } from "../times.js";
import { Ago } from "../parts/bits.js";
import { Dialog } from "../parts/dialog.js";
import { Filter } from "../parts/filters.js";
import { Table } from "../parts/table.js";
import { Pages, usePages } from "./pages_of.js";

const KINDS = {
  weather: () => msg("Weather of a task"),
  notification_mail: () => msg("Mail about a task"),
  account_mail: () => msg("Mail of an account"),
};
const STATES = { waiting: () => msg("Waits for the next attempt"), given_up: () => msg("Given up") };
const ACTIONS = {
  retry: { name: () => msg("Try again"), told: (count) => msg("Tried again: {count}", { count }) },
  drop: { name: () => msg("Drop"), told: (count) => msg("Dropped: {count}", { count }) },
};

const keyOf = ({ kind, id }) => `${kind} ${id}`;
const options = (names) => Object.entries(names).map(([value, name]) => [value, name()]);

/**
 * Changes all work that matches, some of it with each request. Work that fails again at once matches again, so it ends
 * when as much was changed as was there at the beginning. Returns how much was changed.
 */
async function changeAllMatching(action, match, atBeginning) {
  let changed = 0;
  let isLeft = true;
  while (isLeft) {
    const outcome = await post(`/admin/work/${action}`, { match });
    changed += outcome.changed;
    isLeft = outcome.changed > 0 && outcome.remaining > 0 && changed < atBeginning;
  }
  return changed;
}

export function FailedWork() {
  const { kind, state } = route.value.params;
  const filters = Object.fromEntries(Object.entries({ kind, state }).filter(([, value]) => value));
  const pages = usePages("/admin/work", filters);
  const [selected, setSelected] = useState(new Set());
  const [asked, setAsked] = useState("");
  const [isBusy, setBusy] = useState(false);
  useEffect(() => setSelected(new Set()), [kind, state]);
  const chosen = (pages.items ?? []).filter((item) => selected.has(keyOf(item)));
  const select = (item, isSelected) => {
    const next = new Set(selected);
    if (isSelected) next.add(keyOf(item));
    else next.delete(keyOf(item));
    setSelected(next);
  };
  const change = async (action, work) => {
    setBusy(true);
    await attempt(async () => notify(ACTIONS[action].told(await work())));
    setBusy(false);
    setAsked("");
    setSelected(new Set());
    await pages.reload();
  };
  const changeChosen = (action) => {
    const items = chosen.map(({ kind: itsKind, id }) => ({ kind: itsKind, id }));
    void change(action, async () => (await post(`/admin/work/${action}`, { items })).changed);
  };
  const reach = chosen.length ? msg("{count} selected", { count: chosen.length }) : msg("all that match ({count})", { count: pages.total });
  const columns = [
    { name: msg("Selected"), show: (item) => html`<input type="checkbox" checked=${selected.has(keyOf(item))}
      aria-label=${msg("Select “{title}”", { title: `${KINDS[item.kind]()}, ${item.what}` })}
      onChange=${(event) => select(item, event.currentTarget.checked)} />` },
    { name: msg("What"), show: (item) => html`<strong>${item.what}</strong><p class="hint">${KINDS[item.kind]()}</p>` },
    { name: msg("For whom"), show: (item) => html`${item.recipient ?? (item.user_id ? msg("Account {id}", { id: item.user_id }) : "–")}
      ${item.task_id ? html` · <a href=${linkTo(`tasks/${item.task_id}`)}>${msg("Task {id}", { id: item.task_id })}</a>` : null}` },
    { name: msg("Why"), show: (item) => html`<span class="reason">${item.reason}</span>` },
    { name: msg("Attempts"), isNumber: true, show: (item) => item.attempts },
    { name: msg("Next attempt"), show: (item) => (item.next_attempt_at ? fullTime(item.next_attempt_at) : STATES.given_up()) },
    { name: msg("Since"), show: (item) => html`<${Ago} at=${item.since} />` },
  ];
  return html`
    <div class="operation-bar">
      <div class="filters" role="group" aria-label=${msg("Filters")}>
        <${Filter} name="kind" label=${msg("Any kind")} options=${options(KINDS)} />
        <${Filter} name="state" label=${msg("Any state")} options=${options(STATES)} />
      </div>
      ${pages.items?.length ? html`<div class="row">
        ${Object.keys(ACTIONS).map((action) => html`<button type="button" key=${action} class=${`button ${action === "drop" ? "danger" : ""}`}
          disabled=${isBusy} onClick=${() => setAsked(action)}>${`${ACTIONS[action].name()}: ${reach}`}</button>`)}
      </div>` : null}
    </div>
    <${Pages} pages=${pages} empty=${msg("No work has failed.")}>
      ${(items) => html`<${Table} caption=${msg("Failed work")} columns=${columns} rows=${items} keyOf=${keyOf} />`}
    <//>
    ${asked ? html`<${Confirmation} action=${asked} count=${chosen.length || pages.total} isBusy=${isBusy}
      onClose=${() => setAsked("")}
      onConfirm=${() => (chosen.length ? changeChosen(asked) : change(asked, () => changeAllMatching(asked, filters, pages.total)))} />` : null}
  `;
}

const CONSEQUENCES = {
  retry: () => msg("It is tried again at once, from the first attempt."),
  drop: () => msg("It is never tried again: the weather stays unknown, and the mails are not sent. This cannot be undone."),
};

const Confirmation = ({ action, count, isBusy, onClose, onConfirm }) => html`
  <${Dialog} title=${action === "drop" ? msg("Drop this work? ({count})", { count }) : msg("Try this work again? ({count})", { count })}
    onClose=${onClose}>
    <p>${CONSEQUENCES[action]()}</p>
    <p class="hint">${msg("The audit log keeps who has done it.")}</p>
    <div class="dialog-actions">
      <button type="button" class="button" data-focus onClick=${onClose}>${msg("Cancel")}</button>
      <button type="button" class=${`button ${action === "drop" ? "danger" : "primary"}`} disabled=${isBusy}
        onClick=${onConfirm}>${ACTIONS[action].name()}</button>
    </div>
  <//>
`;
