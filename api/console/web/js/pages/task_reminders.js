/** The reminders of a task. */

import { html, useState } from "../ui.js";
import { get, post, remove } from "../api.js";
import { Icon } from "../icons.js";
import { attempt } from "../notices.js";
import { newId } from "../tabs.js";
import { msg } from "../texts.js";
import { fullTime, instantOf, shortTime } from "../times.js";
import { FormProblem, useForm } from "../parts/form.js";
import { Reading, useReading } from "./reading.js";

const BEFORE = () => [
  ["900", msg("15 minutes before the deadline")],
  ["3600", msg("1 hour before the deadline")],
  ["86400", msg("1 day before the deadline")],
  ["at", msg("At a time …")],
];

export function Reminders({ task, events }) {
  const path = `/tasks/${task.id}/reminders`;
  const reading = useReading(() => get(path), `${task.id} ${events} ${task.due_at}`);
  const [kind, setKind] = useState("");
  const form = useForm(async ({ remind_at: wall }) => {
    await post(path, { remind_at: instantOf(wall) }, { key: newId() });
    setKind("");
    await reading.reload();
  });
  const choose = async (event) => {
    const { value } = event.currentTarget;
    setKind(value);
    if (!value || value === "at") return;
    await attempt(() => post(path, { seconds_before_due: Number(value) }, { key: newId() }));
    setKind("");
    await reading.reload();
  };
  const takeBack = async (id) => (await attempt(() => remove(`${path}/${id}`))) && reading.reload();
  const options = BEFORE().filter(([value]) => value === "at" || task.due_at);
  return html`
    <section class="fact-field" aria-labelledby="reminders">
      <h2 class="fact-label" id="reminders">${msg("Reminders")}</h2>
      <${Reading} reading=${reading} lines=${1}>
        ${(items) => html`<ul class="reminders">
          ${items.map(
            ({ id, fires_at: at, fired_at: fired }) => html`<li key=${id}>
              <${Icon} name="clock" size=${16} />
              <span title=${at ? fullTime(at) : ""}>${at ? shortTime(at) : msg("when there is a deadline")}${fired ? ` · ${msg("sent")}` : ""}</span>
              <button type="button" class="icon-button small" aria-label=${msg("Remove the reminder")}
                onClick=${() => takeBack(id)}><${Icon} name="close" size=${16} /></button>
            </li>`,
          )}
        </ul>`}
      <//>
      <select aria-label=${msg("Add a reminder")} value=${kind} onChange=${choose}>
        <option value="">${msg("Add a reminder")}</option>
        ${options.map(([value, name]) => html`<option value=${value} selected=${value === kind}>${name}</option>`)}
      </select>
      ${kind === "at"
        ? html`<form class="inline-form" onSubmit=${form.onSubmit}>
            <${FormProblem} text=${form.problem || Object.values(form.fields)[0]} />
            <input type="datetime-local" name="remind_at" required aria-label=${msg("Time of the reminder")} />
            <button type="submit" class="button" disabled=${form.isBusy}>${msg("Remind")}</button>
          </form>`
        : null}
    </section>
  `;
}
