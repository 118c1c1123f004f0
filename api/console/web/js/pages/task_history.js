/** The history of a task: who has changed what, and when. */

import { html } from "../ui.js";
import { get } from "../api.js";
import { fieldName } from "../labels.js";
import { nameOf } from "../people.js";
import { msg } from "../texts.js";
import { Ago } from "../parts/bits.js";
import { valueInWords } from "../parts/field_values.js";
import { Reading, useReading } from "./reading.js";

const LIMIT = 50;

const EVENTS = {
  "task.created": () => msg("created the task"),
  "task.updated": () => msg("changed the task"),
  "task.assigned": () => msg("assigned the task"),
  "task.delegated": () => msg("passed the task on"),
  "task.commented": () => msg("commented"),
  "task.attached": () => msg("added a file"),
  "task.detached": () => msg("removed a file"),
  "task.enriched": () => msg("added the weather"),
  "task.reminder": () => msg("sent a reminder"),
  "task.weather_warned": () => msg("expects bad weather"),
  "task.weather_cleared": () => msg("expects good weather again"),
  "task.forecast_changed": () => msg("noted that the forecast has changed"),
  "task.overdue": () => msg("noted that the deadline has passed"),
};

/** The fields whose changes are worth a line; the others follow from them. */
const SHOWN = ["title", "description", "status", "priority", "due_at", "reason", "duration_minutes", "city", "weather_rule", "auto_reschedule", "assignee_id", "group_id"];

export function History({ taskId, events }) {
  const reading = useReading(() => get(`/tasks/${taskId}/activity?limit=${LIMIT}`), `${taskId} ${events}`);
  return html`
    <section class="part" aria-labelledby="history">
      <h2 id="history">${msg("History")}</h2>
      <${Reading} reading=${reading}>
        ${({ items, total }) => html`
          <ol class="history">${items.map((entry) => html`<${Entry} key=${entry.id} entry=${entry} />`)}</ol>
          ${total > items.length ? html`<p class="hint">${msg("Earlier entries: {count}", { count: total - items.length })}</p>` : null}
        `}
      <//>
    </section>
  `;
}

function Entry({ entry }) {
  const who = entry.actor_id === null ? msg("Allweather") : nameOf(entry.actor_id);
  const changes = SHOWN.filter((field) => field in entry.changes).map((field) => [field, entry.changes[field]]);
  return html`
    <li>
      <p><strong>${who}</strong> ${EVENTS[entry.type]?.() ?? entry.type} <${Ago} at=${entry.at} /></p>
      ${entry.type === "task.updated" && changes.length
        ? html`<ul class="changes">
            ${changes.map(([field, { from, to }]) => html`<li key=${field}>
              ${fieldName(field)}: ${field === "description" ? msg("rewritten") : html`<del>${valueInWords(field, from)}</del> → <ins>${valueInWords(field, to)}</ins>`}
            </li>`)}
          </ul>`
        : null}
    </li>
  `;
}
