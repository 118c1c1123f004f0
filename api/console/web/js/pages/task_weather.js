/** The weather that a task bears, whether it is expected, and better times. */

import { html, useState } from "../ui.js";
import { get, post } from "../api.js";
import { fieldName } from "../labels.js";
import { attempt, notifyUndoable } from "../notices.js";
import { profile } from "../session.js";
import { newId } from "../tabs.js";
import { changeTask, learn, taskOf } from "../tasks.js";
import { msg } from "../texts.js";
import { fullSpan, instantOf, wallTime } from "../times.js";
import { minutesInWords } from "../units.js";
import { WeatherState } from "../parts/bits.js";
import { Dialog } from "../parts/dialog.js";
import { boundsInWords } from "../parts/field_values.js";
import { FormProblem, TextField, useForm } from "../parts/form.js";
import { FieldSelect } from "../parts/in_place.js";
import { RuleFields, ruleInWords, ruleOf } from "../parts/weather_rule.js";
import { Reading, useReading } from "./reading.js";
import { Attribution } from "./task_place.js";

const DURATIONS = [15, 30, 60, 120, 240, 480, 1440];

/** How long a task takes; without it, the API counts an hour. */
export function Duration({ task, save }) {
  const { duration_minutes: minutes } = task;
  const choices = DURATIONS.includes(minutes) || !minutes ? DURATIONS : [...DURATIONS, minutes].sort((one, other) => one - other);
  return html`
    <${FieldSelect} label=${fieldName("duration_minutes")} value=${String(minutes ?? "")}
      options=${[["", msg("Not said")], ...choices.map((choice) => [String(choice), minutesInWords(choice)])]}
      onSave=${(value) => save({ duration_minutes: value ? Number(value) : null }, msg("The duration was changed."))} />
  `;
}

/** The rule of a task, its state, better times, and whether a worker may move the task. */
export function TaskWeather({ task, save }) {
  const [dialog, setDialog] = useState("");
  const close = () => setDialog("");
  const bounds = task.auto_reschedule;
  return html`
    <section class="fact-field" aria-labelledby="weather-rule">
      <h2 class="fact-label" id="weather-rule">${fieldName("weather_rule")}</h2>
      <p><${WeatherState} value=${task.weather_state} /></p>
      <p>${ruleInWords(task.weather_rule) || inheritedRule(task)}</p>
      <p class="row">
        <button type="button" class="link-button" onClick=${() => setDialog("rule")}>${msg("Change the rule")}</button>
        ${task.place && task.status !== "done" ? html`<button type="button" class="link-button"
          onClick=${() => setDialog("times")}>${msg("Better times")}</button>` : null}
      </p>
      ${dialog === "rule" ? html`<${RuleDialog} task=${task} onClose=${close} />` : null}
      ${dialog === "times" ? html`<${BetterTimes} task=${task} onClose=${close} />` : null}
      ${dialog === "bounds" ? html`<${BoundsDialog} task=${task} onClose=${close} />` : null}
    </section>
    <section class="fact-field" aria-labelledby="auto-reschedule">
      <h2 class="fact-label" id="auto-reschedule">${fieldName("auto_reschedule")}</h2>
      <p>${bounds ? msg("In bad weather, to a better time {span}", { span: boundsInWords(bounds) }) : msg("The task is not moved by itself.")}</p>
      <p class="row">
        <button type="button" class="link-button" onClick=${() => setDialog("bounds")}>${bounds ? msg("Change the bounds") : msg("Allow it")}</button>
        ${bounds ? html`<button type="button" class="link-button"
          onClick=${() => save({ auto_reschedule: null }, msg("The task is not moved by itself any more."))}>${msg("Do not move it")}</button>` : null}
      </p>
    </section>
  `;
}

/** Says which rule counts for a task that has none of its own. */
function inheritedRule(task) {
  if (task.user_id !== profile.value?.id) return msg("The same as in the profile of its owner");
  const own = ruleInWords(profile.value.weather_rule);
  return own ? msg("The same as in your profile: {rule}", { rule: own }) : msg("No rule");
}

function RuleDialog({ task, onClose }) {
  const [basis] = useState(task);
  const form = useForm(async (values) => {
    await changeTask(basis, { weather_rule: ruleOf(values) }, msg("The rule was changed."));
    onClose();
  });
  return html`
    <${Dialog} title=${msg("The weather that this task bears")} onClose=${onClose}>
      <form onSubmit=${form.onSubmit}>
        <${FormProblem} text=${form.problem} />
        <p class="note">${msg("What you leave empty does not matter. Without any limit, the rule is the same as in the profile.")}</p>
        <${RuleFields} rule=${basis.weather_rule} errors=${form.fields} />
        <div class="dialog-actions">
          <button type="button" class="button" onClick=${onClose}>${msg("Cancel")}</button>
          <button type="submit" class="button primary" disabled=${form.isBusy}>${msg("Save")}</button>
        </div>
      </form>
    <//>
  `;
}

function BoundsDialog({ task, onClose }) {
  const [basis] = useState(task);
  const { not_before: begin, not_after: end } = basis.auto_reschedule ?? {};
  const form = useForm(async (values) => {
    const bounds = { not_after: instantOf(values.not_after) };
    if (values.not_before) bounds.not_before = instantOf(values.not_before);
    await changeTask(basis, { auto_reschedule: bounds }, msg("The task may be moved by itself."));
    onClose();
  });
  const wall = (instant) => (instant ? wallTime(instant) : "");
  return html`
    <${Dialog} title=${fieldName("auto_reschedule")} onClose=${onClose}>
      <form onSubmit=${form.onSubmit}>
        <${FormProblem} text=${form.problem} />
        <p class="note">${msg("If bad weather is expected, the task is moved to the best time between these two, at most once a day.")}</p>
        <div class="field-pair">
          <${TextField} label=${msg("Not before")} name="not_before" type="datetime-local" defaultValue=${wall(begin)}
            error=${form.fields.not_before ?? form.fields["auto_reschedule.not_before"]} />
          <${TextField} label=${msg("Not after")} name="not_after" type="datetime-local" required
            defaultValue=${wall(end)} error=${form.fields.not_after ?? form.fields["auto_reschedule.not_after"]} />
        </div>
        <div class="dialog-actions">
          <button type="button" class="button" onClick=${onClose}>${msg("Cancel")}</button>
          <button type="submit" class="button primary" disabled=${form.isBusy}>${msg("Save")}</button>
        </div>
      </form>
    <//>
  `;
}

const NO_TIMES = {
  ready: () => msg("No time with better weather was found."),
  no_place: () => msg("The task has no place."),
  no_forecast: () => msg("There is no forecast yet. Please try again in a moment."),
};

/** The times with better weather. A new forecast or a change of the task brings new ones. */
function BetterTimes({ task, onClose }) {
  const reading = useReading(() => get(`/tasks/${task.id}/better-times`), `${task.version} ${task.forecast?.fetched_at}`);
  const [isBusy, setBusy] = useState(false);
  const take = async ({ starts_at: begin, ends_at: end }) => {
    const { due_at: dueAt, due_on: dueOn } = task;
    setBusy(true);
    const isTaken = await attempt(async () => {
      learn([await post(`/tasks/${task.id}/reschedule`, { starts_at: begin }, { key: newId(), version: task.version })]);
    });
    setBusy(false);
    if (!isTaken) return;
    const undo = () => changeTask(taskOf(task.id), dueOn ? { due_on: dueOn } : { due_at: dueAt }).catch(() => {});
    notifyUndoable(msg("The task was moved to {span}.", { span: fullSpan(begin, end) }), () => void undo());
    onClose();
  };
  return html`
    <${Dialog} title=${msg("Better times")} onClose=${onClose}>
      <${Reading} reading=${reading}>
        ${({ items, status, rule, provider }) => html`
          <p class="hint">${ruleInWords(rule) || msg("There is no rule, so all times are compared.")}</p>
          ${items.length ? null : html`<p>${NO_TIMES[status]()}</p>`}
          <ul class="lines">
            ${items.map((item) => html`<li key=${item.starts_at}>
              <div><p>${fullSpan(item.starts_at, item.ends_at)}</p><p class="hint">${item.reason}</p></div>
              <button type="button" class="button" disabled=${isBusy}
                onClick=${() => take(item)}>${msg("Take this time")}</button>
            </li>`)}
          </ul>
          ${provider ? html`<${Attribution} provider=${provider} />` : null}
        `}
      <//>
    <//>
  `;
}
