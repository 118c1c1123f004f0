/** The weather rule and the working hours of the reader, which count for tasks that say nothing else. */

import { html } from "../ui.js";
import { patch } from "../api.js";
import { notify } from "../notices.js";
import { profile, setProfile } from "../session.js";
import { msg } from "../texts.js";
import { weekdayName } from "../times.js";
import { Panel } from "../parts/panel.js";
import { FormProblem, TextField, useForm } from "../parts/form.js";
import { RuleFields, ruleOf } from "../parts/weather_rule.js";

const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/** What the API takes for a profile without working hours. */
const USUAL = { days: DAYS, from: "08:00", to: "20:00" };

export function WeatherProfile() {
  const { weather_rule: rule, working_hours: stored } = profile.value;
  const hours = stored ?? USUAL;
  const form = useForm(async (values) => {
    const days = DAYS.filter((day) => values[day]);
    const working = { days, from: values["working_hours.from"], to: values["working_hours.to"] };
    setProfile(await patch("/auth/me", { weather_rule: ruleOf(values), working_hours: working }));
    notify(msg("Your weather and your working hours were saved."));
  });
  return html`
    <${Panel} id="weather" title=${msg("Weather and working hours")}>
      <form onSubmit=${form.onSubmit}>
        <${FormProblem} text=${form.problem} />
        <p class="note">${msg("You are warned if the forecast of a task with a place is not within these limits. What you leave empty does not matter, and a task can have limits of its own.")}</p>
        <${RuleFields} rule=${rule} errors=${form.fields} />
        <fieldset class="choices working-days">
          <legend>${msg("Working days")}</legend>
          ${DAYS.map((day, index) => html`<label class="choice" key=${day}><input type="checkbox" name=${day}
            defaultChecked=${hours.days.includes(day)} /><span>${weekdayName(index)}</span></label>`)}
        </fieldset>
        <div class="field-pair">
          <${TextField} label=${msg("From")} name="working_hours.from" type="time" required
            defaultValue=${hours.from} error=${form.fields["working_hours.from"]} />
          <${TextField} label=${msg("To")} name="working_hours.to" type="time" required defaultValue=${hours.to}
            error=${form.fields["working_hours.to"] ?? form.fields["working_hours.days"]} />
        </div>
        <button type="submit" class="button primary" disabled=${form.isBusy}>${msg("Save")}</button>
      </form>
    <//>
  `;
}
