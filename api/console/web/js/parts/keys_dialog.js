/** The list of keys. */

import { html } from "../ui.js";
import { msg } from "../texts.js";
import { Dialog } from "./dialog.js";

const KEYS = () => [
  [msg("Everywhere"), [
    [["N"], msg("New task")],
    [["/"], msg("Search")],
    [["B"], msg("Board")],
    [["L"], msg("List")],
    [["A"], msg("Analytics")],
    [["G"], msg("Groups")],
    [["I"], msg("Notifications")],
    [["Ctrl", "Z"], msg("Undo")],
    [["?"], msg("This list")],
  ]],
  [msg("On the board"), [
    [["←", "↑", "↓", "→"], msg("Go from card to card")],
    [["Enter"], msg("Open the task")],
    [["Space"], msg("Pick the card up, or put it down")],
    [["←", "→"], msg("Carry the card to the next column")],
    [["Esc"], msg("Put it back where it was")],
  ]],
  [msg("In the list"), [
    [["J", "K"], msg("Next or previous task")],
    [["X"], msg("Select the task")],
    [["Esc"], msg("Select nothing")],
  ]],
];

export const KeysDialog = ({ onClose }) => html`
  <${Dialog} title=${msg("Keys")} onClose=${onClose} wide>
    <div class="keys">
      ${KEYS().map(
        ([title, rows]) => html`
          <section>
            <h3>${title}</h3>
            <dl>
              ${rows.map(([names, text]) => html`<div>
                <dt>${names.map((name) => html`<kbd>${name}</kbd>`)}</dt>
                <dd>${text}</dd>
              </div>`)}
            </dl>
          </section>
        `,
      )}
    </div>
  <//>
`;
