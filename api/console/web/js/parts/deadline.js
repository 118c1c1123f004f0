/** Deadlines: a day, or a day with a time. */

import { html, useEffect, useId, useLayoutEffect, useRef, useState } from "../ui.js";
import { fieldName } from "../labels.js";
import { Icon } from "../icons.js";
import { msg } from "../texts.js";
import { instantOf, wallTime } from "../times.js";

/** What the field shows: "2026-05-03" for a day, "2026-05-03T09:00" for a time, or nothing. */
const shownOf = ({ due_on: day, due_at: instant }) => day ?? (instant ? wallTime(instant) : "");

/** Returns the field of the API for what was entered. */
function deadlineOf(entered, isDay) {
  if (isDay) return { due_on: entered || null };
  return { due_at: entered ? instantOf(entered) : null };
}

const DayChoice = ({ isDay, onChange }) => html`
  <label class="choice"><input type="checkbox" checked=${isDay}
    onChange=${(event) => onChange(event.currentTarget.checked)} /><span>${msg("Without a time")}</span></label>
`;

/** The deadline of a task, saved when its field is left. `onSave` gets the fields and the task as it was before. */
export function Deadline({ task, onSave }) {
  const id = useId();
  const [isDay, setDay] = useState(Boolean(task.due_on));
  const shown = shownOf(task);
  const before = useRef({ shown, task });
  const field = useRef(null);
  useEffect(() => setDay(Boolean(task.due_on)), [task.due_on]);
  useLayoutEffect(() => {
    // A day fits into a field for days alone, and a time into the other, so a value of the other kind is converted.
    if (document.activeElement !== field.current) field.current.value = isDay ? shown.slice(0, 10) : shown && withTime(shown);
  }, [shown, isDay]);
  const onFocus = () => (before.current = { shown, task });
  const onBlur = (event) => {
    const entered = event.currentTarget.value;
    if (entered !== before.current.shown) onSave(deadlineOf(entered, isDay), before.current.task);
  };
  const choose = (wantsDay) => {
    setDay(wantsDay);
    if (shown) onSave(deadlineOf(wantsDay ? shown.slice(0, 10) : withTime(shown), wantsDay), task);
  };
  return html`
    <div class="fact-field">
      <label class="fact-label" for=${id}>${fieldName("due_at")}</label>
      <span class="time-field">
        <input key=${isDay} ref=${field} id=${id} type=${isDay ? "date" : "datetime-local"} onFocus=${onFocus}
          onBlur=${onBlur} />
        ${shown ? html`<button type="button" class="icon-button small" aria-label=${msg("Remove the deadline")}
          onClick=${() => onSave({ due_at: null }, task)}><${Icon} name="close" size=${16} /></button>` : null}
      </span>
      <${DayChoice} isDay=${isDay} onChange=${choose} />
    </div>
  `;
}

/** Returns a day with the time at which most people end their work, or a time as it is. */
const withTime = (shown) => (shown.includes("T") ? shown : `${shown}T17:00`);

/** The field for a deadline in a form: its value is `due_on` or `due_at`. */
export function DeadlineField({ error }) {
  const id = useId();
  const [isDay, setDay] = useState(false);
  const [entered, setEntered] = useState("");
  const choose = (wantsDay) => {
    setDay(wantsDay);
    setEntered(entered && (wantsDay ? entered.slice(0, 10) : withTime(entered)));
  };
  return html`
    <div class="field">
      <label for=${id}>${fieldName("due_at")}</label>
      <input key=${isDay} id=${id} name=${isDay ? "due_on" : "due_at"} type=${isDay ? "date" : "datetime-local"}
        value=${entered} onInput=${(event) => setEntered(event.currentTarget.value)}
        aria-invalid=${error ? "true" : undefined} aria-describedby=${error ? `${id}-error` : undefined} />
      ${error ? html`<p class="field-error" id=${`${id}-error`}>${error}</p>` : null}
      <${DayChoice} isDay=${isDay} onChange=${choose} />
    </div>
  `;
}
