/** The state of the connection, and the changes that wait for it. */

import { html, classes } from "../ui.js";
import { connection, reconnect } from "../live.js";
import { drop, flush, refused, tryAgain, unsent, waiting } from "../outbox.js";
import { fieldName } from "../labels.js";
import { msg } from "../texts.js";
import { Ago } from "./bits.js";
import { Menu } from "./menu.js";

const NAMES = { live: () => msg("Live"), connecting: () => msg("Connecting"), offline: () => msg("Offline") };

const KINDS = {
  create: ({ fields }) => msg("New task: {title}", { title: fields.title }),
  update: ({ fields }) => msg("Change: {fields}", { fields: Object.keys(fields).map(fieldName).join(", ") }),
  delete: () => msg("Deletion of a task"),
  comment: ({ fields }) => msg("Comment: {text}", { text: fields.body.slice(0, 60) }),
};

export function Connection() {
  const count = unsent.value;
  const state = connection.value;
  const text = count ? msg("{state}, {count} unsent", { state: NAMES[state](), count }) : NAMES[state]();
  const button = html`
    <span class=${`connection-dot connection-${state}`}></span>
    <span class="connection-text">${NAMES[state]()}</span>
    ${count ? html`<span class="badge">${count}</span>` : null}
    ${refused.value.length ? html`<span class="badge bad">${refused.value.length}</span>` : null}
  `;
  return html`
    <${Menu} label=${msg("Connection: {state}", { state: text })} button=${button}
      className=${classes("connection", { notable: state !== "live" })}>
      <div class="connection-panel">
        <p>${EXPLANATIONS[state]()}</p>
        ${waiting.value.map((change) => html`<${WaitingChange} change=${change} key=${change.id} />`)}
        ${state === "offline" ? html`<button type="button" class="button"
          onClick=${retry}>${msg("Connect now")}</button>` : null}
      </div>
    <//>
  `;
}

const EXPLANATIONS = {
  live: () => msg("Changes of others appear here as they happen."),
  connecting: () => msg("The connection is being made."),
  offline: () => msg("There is no connection. You can go on working: changes are kept on this device and sent later."),
};

function retry() {
  reconnect();
  void flush();
}

const WaitingChange = ({ change }) => html`
  <div class="waiting-change">
    <p>${KINDS[change.kind](change)}</p>
    <p class="hint">
      ${change.refusal ? msg("Refused: {reason}", { reason: change.refusal }) : msg("Waits to be sent")}, <${Ago}
        at=${change.at} />
    </p>
    ${change.refusal
      ? html`<div class="row">
          <button type="button" class="link-button" onClick=${() => tryAgain(change.id)}>${msg("Try again")}</button>
          <button type="button" class="link-button danger" onClick=${() => drop(change.id)}>${msg("Discard")}</button>
        </div>`
      : null}
  </div>
`;
