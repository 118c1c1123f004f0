/** Analytics: what was created, done and missed on each day, by status and by person. */

import { html } from "../ui.js";
import { get, query } from "../api.js";
import { statusName } from "../labels.js";
import { route, setParams } from "../router.js";
import { STATUSES } from "../tasks.js";
import { language, msg } from "../texts.js";
import { dayAfterToday, dayName, zone } from "../times.js";
import { Empty } from "../parts/bits.js";
import { CsvButton } from "../parts/csv_button.js";
import { DayChart } from "../parts/day_chart.js";
import { Filter } from "../parts/filters.js";
import { Reading, useReading } from "./reading.js";
import { WeatherFigures } from "./weather_figures.js";

const SPANS = ["7", "30", "90", "365"];
const SERIES = ["created", "done", "overdue"];

const SERIES_NAMES = { created: () => msg("Created"), done: () => msg("Done"), overdue: () => msg("Overdue") };

export function Analytics() {
  const { days, start_date, end_date } = route.value.params;
  const last = (days) => ({ start_date: dayAfterToday(1 - days), end_date: dayAfterToday(0) });
  const span = SPANS.includes(days) ? last(days) : start_date && end_date ? { start_date, end_date } : last(30);
  const distance = new Date(span.end_date) - new Date(span.start_date);
  return html`
    <div class="page-head">
      <h1>${msg("Analytics")}</h1>
      <div class="filters">
        <${Filter} name="days" label=${msg("Span")}
          options=${SPANS.map((days) => [days, msg("Last {days} days", { days })])} />
        ${[["start_date", msg("From")], ["end_date", msg("To")]].map(([name, label]) => html`
          <label class="filter typed"><span>${label}</span>
            <input type="date" min="1970-01-01" value=${span[name]} onChange=${({ currentTarget: field }) =>
              // While a year is typed, it is the year 2, 20, 202.
              field.validity.valid && setParams({ days: "", ...span, [name]: field.value })} /></label>`)}
      </div>
    </div>
    ${distance >= 0 && distance <= 365 * 86_400_000
      ? html`<${Figures} span=${span} />`
      : html`<p class="failed" role="alert">${msg("Choose 1 to 366 days.")}</p>`}
  `;
}

function Figures({ span }) {
  const key = JSON.stringify([span, zone.value]);
  // All figures are shown at once: if one part came after the other, what is read already would jump.
  const reading = useReading(async () => {
    const [{ days: byDay }, sums, weather] = await Promise.all([
      get(`/analytics/days${query({ ...span, timezone: zone.value })}`),
      get(`/analytics${query(span)}`),
      get(`/analytics/weather${query(span)}`),
    ]);
    return { byDay, sums, weather };
  }, key);
  // After a failure the data are of another span.
  return html`
    <${Reading} reading=${reading.problem ? { ...reading, data: null } : reading} lines=${8}>
      ${({ byDay, sums: { by_status: byStatus, by_user: byUser }, weather }) => html`
        <${Days} days=${byDay} />
        <div class="figures">
          <${Bars} id="by-status" title=${msg("By status")}
            hint=${msg("Tasks that were created in this span, as they are now.")}
            rows=${STATUSES.map((status) => ({ key: status, name: statusName(status), value: byStatus[status], className: `status-${status}` }))} />
          <${Bars} id="by-person" title=${msg("By person")} hint=${msg("Tasks count for their owner.")}
            rows=${Object.entries(byUser).sort((one, other) => other[1] - one[1]).map(([name, value]) => ({ key: name, name, value, className: "" }))} />
        </div>
        <${WeatherFigures} figures=${weather} />
      `}
    <//>
  `;
}

function Days({ days }) {
  const sum = (name) => days.reduce((total, day) => total + day[name], 0);
  const number = new Intl.NumberFormat(language.value);
  const isEmpty = SERIES.every((name) => sum(name) === 0);
  return html`
    <section class="panel" aria-labelledby="by-day">
      <header class="panel-head">
        <h2 id="by-day">${msg("By day")}</h2>
        <${CsvButton} label=${msg("{title} as CSV", { title: msg("By day") })}
          filename=${`allweather-${days[0].day}-${days.at(-1).day}.csv`}
          head=${["day", ...SERIES]} rows=${days.map((day) => [day.day, ...SERIES.map((name) => day[name])])} />
      </header>
      <ul class="totals">
        ${SERIES.map((name) => html`<li class=${`total series-${name}`}
          key=${name}><strong>${number.format(sum(name))}</strong><span>${SERIES_NAMES[name]()}</span></li>`)}
      </ul>
      ${isEmpty
        ? html`<${Empty} icon="chart"
          title=${msg("Nothing happened in this span")}><p>${msg("Choose a longer span, or create a task.")}</p><//>`
        : html`<${DayChart} days=${days} series=${SERIES} names=${SERIES.map((name) => SERIES_NAMES[name]())}
          dayLabel=${msg("Day")} label=${msg("Tasks by day; the table below has the same figures.")} />`}
      <details class="table-details">
        <summary>${msg("The same as a table")}</summary>
        <div class="table-place">
          <table class="figures-table">
            <thead><tr><th scope="col">${msg("Day")}</th>${SERIES.map((name) => html`<th scope="col"
              key=${name}>${SERIES_NAMES[name]()}</th>`)}</tr></thead>
            <tbody>
              ${[...days].reverse().map((day) => html`<tr key=${day.day}><th scope="row">${dayName(day.day)}</th>${SERIES.map((name) => html`<td key=${name}>${number.format(day[name])}</td>`)}</tr>`)}
            </tbody>
          </table>
        </div>
      </details>
    </section>
  `;
}

/**
 * Horizontal bars; each has its number beside it, so the bars themselves are only for the eye. The `key` of a row is its
 * name in the file, which is the same in all languages.
 */
function Bars({ id, title, hint, rows }) {
  const most = Math.max(1, ...rows.map(({ value }) => value));
  return html`
    <section class="panel" aria-labelledby=${id}>
      <header class="panel-head">
        <h2 id=${id}>${title}</h2>
        <${CsvButton} label=${msg("{title} as CSV", { title })} filename=${`allweather-${id}.csv`}
          head=${["name", "tasks"]} rows=${rows.map(({ key, value }) => [key, value])} />
      </header>
      <p class="hint">${hint}</p>
      <table class="bars">
        <tbody>
          ${rows.map(
            ({ key, name, value, className }) => html`<tr key=${key}>
              <th scope="row">${name}</th>
              <td class="bar-cell" aria-hidden="true"><span class=${`bar ${className}`}
                style=${{ width: `${(100 * value) / most}%` }}></span></td>
              <td class="bar-value">${new Intl.NumberFormat(language.value).format(value)}</td>
            </tr>`,
          )}
        </tbody>
      </table>
    </section>
  `;
}
