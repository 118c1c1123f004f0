/** Signing in and registering. */

import { html, useState } from "../ui.js";
import { send } from "../http.js";
import { facts } from "../facts.js";
import { go, route } from "../router.js";
import { farewell, register, signIn } from "../session.js";
import { language, msg, speak } from "../texts.js";
import { FormProblem, TextField, useForm } from "../parts/form.js";

const VIEWS = { in: SignInForm, register: RegisterForm, forgotten: ForgottenForm };

/** The names of the languages, each in itself. */
export const LANGUAGE_NAMES = { en: "English", de: "Deutsch", es: "Español", fr: "Français", ru: "Русский" };

/** Returns the token of the invitation whose link was opened, if it is one. */
const invitation = () => (route.value.path[0] === "invitation" ? route.value.params.token : undefined);

export function SignIn() {
  const [view, setView] = useState("in");
  const Form = VIEWS[view];
  return html`
    <main class="sign-in" id="main">
      <div class="sign-in-card">
        <div class="sign-in-brand">
          <img src=${new URL("../../icon.svg", import.meta.url)} alt="" width="44" height="44" />
          <div>
            <p class="sign-in-name">${facts.name}</p>
            <p class="hint">${msg("Tasks, people and the weather")}</p>
          </div>
        </div>
        ${farewell.value ? html`<p class="note" role="status">${farewell.value}</p>` : null}
        ${invitation() ? html`<p class="note" role="status">${msg("You are invited. Sign in, or create an account with the email address to which the invitation was sent.")}</p>` : null}
        <${Form} onView=${setView} />
      </div>
      <nav class="languages" aria-label=${msg("Language")}>
        ${facts.languages.map(
          (code) => html`<button type="button" class="link-button" lang=${code}
            aria-pressed=${String(code === language.value)} onClick=${() => speak(code)}>
            ${LANGUAGE_NAMES[code]}
          </button>`,
        )}
      </nav>
    </main>
  `;
}

function SignInForm({ onView }) {
  const form = useForm(({ identifier, password }) => signIn(identifier.trim(), password));
  return html`
    <h1>${msg("Sign in")}</h1>
    <form onSubmit=${form.onSubmit}>
      <${FormProblem} text=${form.problem || Object.values(form.fields)[0]} />
      <${TextField} label=${msg("Email or username")} name="identifier" required autocomplete="username"
        autocapitalize="none" spellcheck=${false} autofocus />
      <${TextField} label=${msg("Password")} name="password" type="password" required autocomplete="current-password" />
      <button type="submit" class="button primary wide" disabled=${form.isBusy}>${msg("Sign in")}</button>
    </form>
    <div class="sign-in-links">
      ${facts.registration === "open" || (facts.registration === "invite" && invitation())
        ? html`<button type="button" class="link-button"
          onClick=${() => onView("register")}>${msg("Create an account")}</button>`
        : html`<p class="hint">${facts.registration === "invite" ? msg("New here? You need an invitation.") : msg("Accounts are made by the administrator.")}</p>`}
      ${facts.mail ? html`<button type="button" class="link-button"
        onClick=${() => onView("forgotten")}>${msg("Forgotten your password?")}</button>` : null}
    </div>
  `;
}

function RegisterForm({ onView }) {
  const form = useForm(async ({ email, password, full_name: name }) => {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const token = invitation();
    const account = { email: email.trim(), password, full_name: name.trim() || undefined, invitation: token };
    await register(account, { locale: language.value, timezone: zone });
    if (token) go("groups", {}, { replace: true });
  });
  return html`
    <h1>${msg("Create an account")}</h1>
    <form onSubmit=${form.onSubmit}>
      <${FormProblem} text=${form.problem} />
      <${TextField} label=${msg("Your name")} name="full_name" autocomplete="name"
        maxlength="255" autofocus error=${form.fields.full_name} />
      <${TextField} label=${msg("Email")} name="email" type="email" required autocomplete="email"
        error=${form.fields.email} />
      <${TextField} label=${msg("Password")} name="password" type="password" required minlength="8"
        autocomplete="new-password"
        hint=${msg("At least 8 characters. A sentence is easy to remember and hard to guess.")} error=${form.fields.password} />
      <button type="submit" class="button primary wide" disabled=${form.isBusy}>${msg("Create account")}</button>
    </form>
    <div class="sign-in-links">
      <button type="button" class="link-button"
        onClick=${() => onView("in")}>${msg("I have an account already")}</button>
    </div>
  `;
}

function ForgottenForm({ onView }) {
  const [told, setTold] = useState("");
  const form = useForm(async ({ email }) => {
    const { data } = await send("POST", "/api/v1/auth/password/forgot", {
      body: { email: email.trim() },
      headers: { "Accept-Language": language.value },
    });
    setTold(data.detail);
  });
  return html`
    <h1>${msg("Forgotten your password?")}</h1>
    ${told
      ? html`<p class="note" role="status">${told}</p>`
      : html`<form onSubmit=${form.onSubmit}>
          <p>${msg("We send you a link with which you can choose a new one.")}</p>
          <${FormProblem} text=${form.problem} />
          <${TextField} label=${msg("Email")} name="email"
            type="email" required autocomplete="email" autofocus error=${form.fields.email} />
          <button type="submit" class="button primary wide" disabled=${form.isBusy}>${msg("Send the link")}</button>
        </form>`}
    <div class="sign-in-links">
      <button type="button" class="link-button" onClick=${() => onView("in")}>${msg("Back to signing in")}</button>
    </div>
  `;
}
