/** Weather rules: the limits of the weather that a task bears, in words and as fields. */

import { html } from "../ui.js";
import { msg } from "../texts.js";
import { degrees, kmPerHour, millimeters, percent } from "../units.js";
import { TextField } from "./form.js";

/** The limits, with the least and the greatest value, and how they are called and said. */
const LIMITS = {
  max_rain_probability: { range: [0, 100], label: () => msg("Highest probability of rain (%)"), say: (value) => msg("rain at most {value}", { value: percent(value) }) },
  max_rain_mm: { range: [0, 1000], label: () => msg("Most rain (mm)"), say: (value) => msg("rain at most {value}", { value: millimeters(value) }) },
  max_wind: { range: [0, 500], label: () => msg("Strongest wind (km/h)"), say: (value) => msg("wind at most {value}", { value: kmPerHour(value) }) },
  max_gusts: { range: [0, 500], label: () => msg("Strongest gusts (km/h)"), say: (value) => msg("gusts at most {value}", { value: kmPerHour(value) }) },
  min_temperature: { range: [-100, 100], label: () => msg("Lowest temperature (°C)"), say: (value) => msg("at least {value}", { value: degrees(value) }) },
  max_temperature: { range: [-100, 100], label: () => msg("Highest temperature (°C)"), say: (value) => msg("at most {value}", { value: degrees(value) }) },
};
const PREFIX = "weather_rule.";

/** Returns a rule in words, or an empty text if it has no limit. */
export function ruleInWords(rule) {
  const present = Object.keys(LIMITS).filter((name) => typeof rule?.[name] === "number");
  const words = present.map((name) => LIMITS[name].say(rule[name])).join(", ");
  return words && words[0].toLocaleUpperCase() + words.slice(1);
}

/** Returns the rule that the fields of a form have, or null if all of them are empty. */
export function ruleOf(values) {
  const limits = Object.keys(LIMITS).map((name) => [name, values[PREFIX + name]?.trim()]);
  const present = limits.filter(([, value]) => value).map(([name, value]) => [name, Number(value)]);
  return present.length ? Object.fromEntries(present) : null;
}

/** The fields of a rule; what is left empty does not matter. */
export const RuleFields = ({ rule, errors }) => html`
  <div class="field-pair rule-fields">
    ${Object.entries(LIMITS).map(
      ([name, { label, range }]) => html`<${TextField} key=${name} label=${label()} name=${PREFIX + name} type="number"
        step="any" min=${range[0]} max=${range[1]} inputmode="decimal" defaultValue=${rule?.[name] ?? ""}
        error=${errors[PREFIX + name]} />`,
    )}
  </div>
`;
