/** Two people have changed the same field: shows both values and lets the person choose. */

import { html, useEffect, useState } from "../ui.js";
import { get } from "../api.js";
import { fieldName } from "../labels.js";
import { conflicts, decide } from "../outbox.js";
import { nameOf } from "../people.js";
import { msg } from "../texts.js";
import { exactlyAgo } from "../times.js";
import { Dialog } from "./dialog.js";
import { valueInWords } from "./field_values.js";

/** Returns who has last changed one of these fields and when, or null. */
async function lastChangeOf(taskId, fields) {
  const { items } = await get(`/tasks/${taskId}/activity?limit=20`);
  return items.find(({ changes }) => fields.some((field) => field in changes)) ?? null;
}

export function ConflictDialog() {
  const conflict = conflicts.value[0];
  return conflict ? html`<${Conflict} conflict=${conflict} key=${conflict.change.id} />` : null;
}

function Conflict({ conflict }) {
  const { change, theirs, fields } = conflict;
  const [last, setLast] = useState(null);
  const [choices, setChoices] = useState(() => Object.fromEntries(fields.map((field) => [field, "mine"])));
  useEffect(() => {
    lastChangeOf(change.taskId, fields).then(setLast, () => {});
  }, []);
  const who = last ? nameOf(last.actor_id) : msg("Somebody");
  const finish = (choose) => {
    const kept = Object.entries(change.fields).filter(([field]) => !fields.includes(field) || choose(field) === "mine");
    decide(conflict, Object.fromEntries(kept));
  };
  const explanation = last
    ? msg("{name} changed this task {when}, while you were changing it too. Nothing is overwritten until you choose.", {
        name: who,
        when: exactlyAgo(last.at),
      })
    : msg("Somebody changed this task while you were changing it too. Nothing is overwritten until you choose.");
  return html`
    <${Dialog} title=${msg("Two changes of “{title}”", { title: theirs.title })}
      onClose=${() => finish(() => "theirs")} wide>
      <p>${explanation}</p>
      ${fields.map(
        (field) => html`
          <fieldset class="conflict" key=${field}>
            <legend>${fieldName(field)}</legend>
            ${[
              ["mine", msg("Yours"), change.fields[field]],
              ["theirs", who, theirs[field]],
            ].map(
              ([side, owner, value]) => html`
                <label class="conflict-side">
                  <input
                    type="radio"
                    name=${field}
                    checked=${choices[field] === side}
                    onChange=${() => setChoices({ ...choices, [field]: side })}
                  />
                  <span class="conflict-owner">${owner}</span>
                  <span class="conflict-value">${valueInWords(field, value)}</span>
                </label>
              `,
            )}
          </fieldset>
        `,
      )}
      <div class="dialog-actions">
        <button type="button" class="button"
          onClick=${() => finish(() => "theirs")}>${msg("Discard my change")}</button>
        <button type="button" class="button primary" data-focus onClick=${() => finish((field) => choices[field])}>
          ${msg("Save the choice")}
        </button>
      </div>
    <//>
  `;
}
