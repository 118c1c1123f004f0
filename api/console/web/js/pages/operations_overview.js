/** The state of the installation: each number with its last hours, and what to do where it is not well. */

import { html, useEffect } from "../ui.js";
import { get } from "../api.js";
import { setParams, route } from "../router.js";
import { msg } from "../texts.js";
import { groupsOf, measureName, measureValue } from "../measures.js";
import { Spark } from "../parts/spark.js";
import { Reading, useReading } from "./reading.js";

const REFRESH_SECONDS = 30;
const HOURS = ["1", "6", "24", "48"];

const STATES = { ok: () => msg("OK"), warn: () => msg("Warning"), bad: () => msg("Bad") };
const SUMMARIES = {
  ok: () => msg("All is well."),
  warn: () => msg("Something needs your attention."),
  bad: () => msg("Something does not work."),
};

/** A state as a coloured word. */
export const State = ({ value }) => html`<span class=${`state state-${value}`}>${STATES[value]()}</span>`;

/** Reads something now and again after some seconds, as long as it is shown. */
export function useRefreshed(read, key) {
  const reading = useReading(read, key);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || void reading.reload(), REFRESH_SECONDS * 1000);
    return () => clearInterval(timer);
  }, [key]);
  return reading;
}

export function Overview() {
  const hours = HOURS.includes(route.value.params.hours) ? route.value.params.hours : "6";
  const reading = useRefreshed(async () => {
    const [state, { series }] = await Promise.all([get("/admin/operations"), get(`/admin/operations/series?hours=${hours}`)]);
    return { ...state, series };
  }, hours);
  return html`
    <${Reading} reading=${reading} lines=${8}>
      ${({ state, measures, series }) => {
        const notWell = measures.filter((measure) => measure.state !== "ok");
        return html`
          <section class=${`panel summary summary-${state}`} aria-labelledby="summary">
            <header class="panel-head">
              <h2 id="summary"><span role="status"><${State} value=${state} /> ${SUMMARIES[state]()}</span></h2>
              <label class="filter"><span class="hidden">${msg("Span")}</span>
                <select onChange=${(event) => setParams({ hours: event.currentTarget.value })}>
                  ${HOURS.map((value) => html`<option value=${value} selected=${value === hours}>${msg("Last {hours} hours", { hours: value })}</option>`)}
                </select>
              </label>
            </header>
            ${notWell.length ? html`<ul class="advice">${notWell.map((measure) => html`<${Advice} key=${measure.name}
              measure=${measure} />`)}</ul>` : null}
          </section>
          <div class="measure-groups">
            ${groupsOf(measures).map(({ title, members }) => html`<section key=${title} class="measure-group"
              style=${{ "--members": members.length }}>
              <h2>${title}</h2>
              <ul class="measures">
                ${members.map((measure) => html`<${Measure} key=${measure.name} measure=${measure} hours=${hours}
                  points=${series[measure.name] ?? []} />`)}
              </ul>
            </section>`)}
          </div>
        `;
      }}
    <//>
  `;
}

const Advice = ({ measure }) => html`
  <li>
    <p><${State} value=${measure.state} /> <strong>${`${measureName(measure.name)}: ${measureValue(measure.value, measure.unit)}`}</strong></p>
    ${measure.advice ? html`<p>${measure.advice}</p><p class="hint">${msg("More in docs/operations.md#{heading}", { heading: measure.runbook })}</p>` : null}
  </li>
`;

const Measure = ({ measure, points, hours }) => html`
  <li class=${`measure measure-${measure.state}`}>
    <p class="measure-name">${measureName(measure.name)}</p>
    <p class="measure-value">
      <strong>${measureValue(measure.value, measure.unit)}</strong>
      ${measure.state === "ok" ? null : html`<${State} value=${measure.state} />`}
    </p>
    <${Spark} points=${points} state=${measure.state} hours=${hours}
      say=${(value) => measureValue(value, measure.unit)} />
  </li>
`;
