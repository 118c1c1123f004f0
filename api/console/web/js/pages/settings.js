/** The settings of the reader: profile, password, look, mails, sessions, tokens and the account itself. */

import { html, useState } from "../ui.js";
import { get, patch, remove } from "../api.js";
import { facts } from "../facts.js";
import { attempt, notify } from "../notices.js";
import { profile, setProfile } from "../session.js";
import { bestLanguage, msg } from "../texts.js";
import { chooseTheme, theme } from "../theme.js";
import { Ago } from "../parts/bits.js";
import { Panel } from "../parts/panel.js";
import { FormProblem, SelectField, TextField, useForm } from "../parts/form.js";
import { OwnAccount } from "./own_account.js";
import { Reading, useReading } from "./reading.js";
import { LANGUAGE_NAMES } from "./sign_in.js";
import { Tokens } from "./tokens.js";
import { WeatherProfile } from "./weather_profile.js";

export const Settings = () => html`
  <div class="page-head"><h1>${msg("Settings")}</h1></div>
  <div class="settings">
    <${Profile} />
    <${WeatherProfile} />
    <${Look} />
    <${Email} />
    <${Password} />
    ${facts.mail ? html`<${Mails} />` : null}
    <${Sessions} />
    <${Tokens} />
    <${OwnAccount} />
  </div>
`;

async function save(changes, told) {
  setProfile(await patch("/auth/me", changes));
  notify(told);
}

function Profile() {
  const { id, full_name: name, locale, timezone } = profile.value;
  const form = useForm((values) => save({ ...values, full_name: values.full_name.trim() || null }, msg("Your profile was saved.")));
  return html`
    <${Panel} id="profile" title=${msg("Profile")}>
      <form onSubmit=${form.onSubmit}>
        <${FormProblem} text=${form.problem} />
        <${TextField} label=${msg("Your name")} name="full_name" defaultValue=${name ?? ""} maxlength="255"
          autocomplete="name" error=${form.fields.full_name}
          hint=${msg("The number of your account is {id}.", { id })} />
        <div class="field-pair">
          <${SelectField} label=${msg("Language")} name="locale" value=${bestLanguage([locale])}
            options=${facts.languages.map((code) => [code, LANGUAGE_NAMES[code]])} />
          <${SelectField} label=${msg("Time zone")} name="timezone" value=${timezone ?? "UTC"}
            options=${zones(timezone).map((zone) => [zone, zone.replaceAll("_", " ")])} error=${form.fields.timezone} />
        </div>
        <button type="submit" class="button primary" disabled=${form.isBusy}>${msg("Save")}</button>
      </form>
    <//>
  `;
}

function zones(present) {
  const all = Intl.supportedValuesOf?.("timeZone") ?? [];
  return [...new Set(["UTC", ...all, present].filter(Boolean))];
}

function Look() {
  const themes = [
    ["system", msg("As the system")],
    ["light", msg("Light")],
    ["dark", msg("Dark")],
  ];
  return html`
    <${Panel} id="look" title=${msg("Look")}>
      <fieldset class="choices">
        <legend class="hidden">${msg("Colours")}</legend>
        ${themes.map(
          ([value, name]) => html`<label class="choice"><input type="radio" name="theme"
            checked=${theme.value === value} onChange=${() => chooseTheme(value)} /><span>${name}</span></label>`,
        )}
      </fieldset>
      <p class="hint">${msg("The colours are kept on this device.")}</p>
    <//>
  `;
}

function Email() {
  const { email, pending_email: pending, email_verified: isVerified } = profile.value;
  const form = useForm(async ({ email: changed, current_password: password }, element) => {
    await save({ email: changed.trim(), current_password: password }, msg("Your email was changed."));
    element.current_password.value = "";
  });
  return html`
    <${Panel} id="email" title=${msg("Email")}>
      <p>${email ?? msg("There is no email.")} ${email ? html`<span class="tag">${isVerified ? msg("confirmed") : msg("not confirmed")}</span>` : null}</p>
      ${pending ? html`<p class="note">${msg("{email} waits to be confirmed: open the link in the mail.", { email: pending })}</p>` : null}
      <form onSubmit=${form.onSubmit}>
        <${FormProblem} text=${form.problem} />
        <${TextField} label=${msg("New email")} name="email" type="email" required autocomplete="email"
          error=${form.fields.email} />
        <${TextField} label=${msg("Present password")} name="current_password"
          type="password" required autocomplete="current-password" error=${form.fields.current_password} />
        <button type="submit" class="button" disabled=${form.isBusy}>${msg("Change the email")}</button>
      </form>
    <//>
  `;
}

function Password() {
  const form = useForm(async (values, element) => {
    await save(values, msg("Your password was changed. All other sessions have ended."));
    element.reset();
  });
  return html`
    <${Panel} id="password" title=${msg("Password")}>
      <form onSubmit=${form.onSubmit}>
        <${FormProblem} text=${form.problem} />
        <${TextField} label=${msg("Present password")} name="current_password"
          type="password" required autocomplete="current-password" error=${form.fields.current_password} />
        <${TextField} label=${msg("New password")} name="password" type="password" required minlength="8"
          autocomplete="new-password" error=${form.fields.password} />
        <button type="submit" class="button" disabled=${form.isBusy}>${msg("Change the password")}</button>
      </form>
    <//>
  `;
}

const MAILS = {
  assigned: () => msg("Somebody gives me a task"),
  delegated: () => msg("Somebody passes a task on to me"),
  commented: () => msg("Somebody comments on a task of mine"),
  reminder: () => msg("The time of a reminder has come"),
  overdue: () => msg("A deadline has passed"),
  weather_warned: () => msg("Bad weather is expected for a task"),
  weather_cleared: () => msg("The weather becomes better again"),
  rescheduled: () => msg("A task was moved to better weather"),
};

function Mails() {
  const reading = useReading(() => get("/notifications/preferences"));
  const change = (kind) => async (event) => {
    const wanted = event.currentTarget.checked;
    await attempt(async () => reading.setData(await patch("/notifications/preferences", { [kind]: wanted })));
  };
  return html`
    <${Panel} id="mails" title=${msg("Mails")}>
      <p>${msg("I also want a mail when")}</p>
      <${Reading} reading=${reading}>
        ${(wanted) => html`<div class="choices stacked">
          ${Object.keys(MAILS).map((kind) => html`<label class="choice" key=${kind}><input type="checkbox"
            checked=${wanted[kind]} onChange=${change(kind)} /><span>${MAILS[kind]()}</span></label>`)}
        </div>`}
      <//>
    <//>
  `;
}

function Sessions() {
  const reading = useReading(() => get("/auth/sessions"));
  const [isBusy, setBusy] = useState(false);
  const end = async (ids) => {
    setBusy(true);
    await attempt(() => Promise.all(ids.map((id) => remove(`/auth/sessions/${id}`))));
    await reading.reload();
    setBusy(false);
  };
  return html`
    <${Panel} id="sessions" title=${msg("Sessions")}>
      <${Reading} reading=${reading}>
        ${(sessions) => html`
          <ul class="lines">
            ${sessions.map(
              ({ id, user_agent: agent, ip_address: address, last_used_at: used, current }) => html`<li key=${id}>
                <div>
                  <p>${browserName(agent)} ${current ? html`<span class="tag">${msg("this one")}</span>` : null}</p>
                  <p class="hint">${address} · <${Ago} at=${used} /></p>
                </div>
                ${current ? null : html`<button type="button" class="button" disabled=${isBusy}
                  onClick=${() => end([id])}>${msg("End")}</button>`}
              </li>`,
            )}
          </ul>
          ${sessions.length > 1
            ? html`<button type="button" class="link-button danger" disabled=${isBusy}
              onClick=${() => end(sessions.filter(({ current }) => !current).map(({ id }) => id))}>${msg("End all others")}</button>`
            : null}
        `}
      <//>
    <//>
  `;
}

/** Returns the name of a browser and a system, as far as the user agent tells them. */
function browserName(agent) {
  const browser = agent?.match(/(Edg|Firefox|Chrome|Safari)\/\d+/)?.[1].replace("Edg", "Edge");
  const system = agent?.match(/Windows|Android|iPhone|iPad|Mac OS X|Linux/)?.[0];
  return [browser ?? agent?.slice(0, 40), browser && system].filter(Boolean).join(", ") || msg("An unknown program");
}
