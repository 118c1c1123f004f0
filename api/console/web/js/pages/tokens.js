/** Personal access tokens, for programs that act in the name of the reader. */

import { html, useState } from "../ui.js";
import { get, post, remove } from "../api.js";
import { attempt } from "../notices.js";
import { profile } from "../session.js";
import { newId } from "../tabs.js";
import { msg } from "../texts.js";
import { fullTime } from "../times.js";
import { Ago } from "../parts/bits.js";
import { Dialog } from "../parts/dialog.js";
import { FormProblem, SelectField, TextField, useForm } from "../parts/form.js";
import { Panel } from "../parts/panel.js";
import { Reading, useReading } from "./reading.js";

const SCOPES = {
  "tasks:read": () => msg("Read tasks, groups and notifications"),
  "tasks:write": () => msg("Create and change tasks"),
  "analytics:read": () => msg("Read the analytics"),
  "events:read": () => msg("Listen to live events"),
  admin: () => msg("Administer"),
};

export function Tokens() {
  const reading = useReading(() => get("/auth/tokens"));
  const [isOpen, setOpen] = useState(false);
  const revoke = async (id) => (await attempt(() => remove(`/auth/tokens/${id}`))) && reading.reload();
  const close = () => {
    setOpen(false);
    void reading.reload();
  };
  return html`
    <${Panel} id="tokens" title=${msg("Personal access tokens")}>
      <p class="hint">${msg("With a token a program can act in your name, as far as its scopes allow.")}</p>
      <${Reading} reading=${reading}>
        ${(tokens) => html`
          <ul class="lines">
            ${tokens.map(
              ({ id, name, scopes, expires_at: until, last_used_at: used }) => html`<li key=${id}>
                <div>
                  <p>${name} ${scopes.map((scope) => html`<span class="tag" key=${scope}>${scope}</span> `)}</p>
                  <p class="hint">${msg("until {time}", { time: fullTime(until) })} · ${used ? html`${msg("last used")} <${Ago}
                    at=${used} />` : msg("never used")}</p>
                </div>
                <button type="button" class="button" onClick=${() => revoke(id)}>${msg("Revoke")}</button>
              </li>`,
            )}
          </ul>
        `}
      <//>
      <button type="button" class="button" onClick=${() => setOpen(true)}>${msg("New token")}</button>
      ${isOpen ? html`<${NewToken} onClose=${close} />` : null}
    <//>
  `;
}

function NewToken({ onClose }) {
  const [token, setToken] = useState("");
  const [key] = useState(newId);
  const offered = Object.keys(SCOPES).filter((scope) => scope !== "admin" || profile.value?.role === "admin");
  const form = useForm(async ({ name, expires_in_days: days }, element) => {
    const scopes = offered.filter((scope) => element.elements.namedItem(scope).checked);
    setToken((await post("/auth/tokens", { name, scopes, expires_in_days: Number(days) }, { key })).token);
  });
  return html`
    <${Dialog} title=${msg("New token")} onClose=${onClose}>
      ${token
        ? html`
            <p>${msg("Copy the token now. It is not shown again.")}</p>
            <p class="secret">${token}</p>
            <div class="dialog-actions">
              <button type="button" class="button"
                onClick=${() => navigator.clipboard?.writeText(token)}>${msg("Copy")}</button>
              <button type="button" class="button primary" onClick=${onClose}>${msg("Done")}</button>
            </div>
          `
        : html`
            <form onSubmit=${form.onSubmit}>
              <${FormProblem} text=${form.problem} />
              <${TextField} label=${msg("Name")}
                name="name" required maxlength="100" data-focus error=${form.fields.name}
                hint=${msg("What it is for, such as the name of a program.")} />
              <fieldset class="choices stacked">
                <legend>${msg("Scopes")}</legend>
                ${offered.map((scope) => html`<label class="choice" key=${scope}><input type="checkbox"
                  name=${scope} /><span>${SCOPES[scope]()}</span></label>`)}
              </fieldset>
              ${form.fields.scopes ? html`<p class="field-error">${form.fields.scopes}</p>` : null}
              <${SelectField} label=${msg("Valid for")} name="expires_in_days" value="90"
                options=${[7, 30, 90, 365].map((days) => [String(days), msg("{days} days", { days })])} />
              <div class="dialog-actions">
                <button type="button" class="button" onClick=${onClose}>${msg("Cancel")}</button>
                <button type="submit" class="button primary" disabled=${form.isBusy}>${msg("Create token")}</button>
              </div>
            </form>
          `}
    <//>
  `;
}
