/** What the weather did to the tasks of a span: warned, moved, and done in spite of it, for each place. */

import { html } from "../ui.js";
import { language, msg } from "../texts.js";
import { Empty } from "../parts/bits.js";
import { CsvButton } from "../parts/csv_button.js";

const NAMES = {
  warned: () => msg("Warned of bad weather"),
  moved: () => msg("Moved for the weather"),
  done_in_spite: () => msg("Done in spite of it"),
};
const KINDS = Object.keys(NAMES);

const nameOfPlace = ({ name, country_code: country }) => [name ?? msg("A point without a name"), country].filter(Boolean).join(", ");

export function WeatherFigures({ figures }) {
  const { total, by_place: places } = figures;
  const number = new Intl.NumberFormat(language.value);
  const isEmpty = KINDS.every((kind) => total[kind] === 0);
  return html`
    <section class="panel weather-figures" aria-labelledby="by-weather">
      <header class="panel-head">
        <h2 id="by-weather">${msg("Weather")}</h2>
        ${isEmpty ? null : html`<${CsvButton} label=${msg("{title} as CSV", { title: msg("Weather") })} filename="allweather-weather.csv"
          head=${["place", ...KINDS]} rows=${places.map((place) => [nameOfPlace(place), ...KINDS.map((kind) => place[kind])])} />`}
      </header>
      ${isEmpty
        ? html`<${Empty} icon="cloud" title=${msg("The weather changed nothing")}><p>${msg("Tasks with a place and a rule are counted here when bad weather is expected for them.")}</p><//>`
        : html`
            <ul class="totals">${KINDS.map((kind) => html`<li class=${`total weather-${kind}`} key=${kind}>
              <strong>${number.format(total[kind])}</strong><span>${NAMES[kind]()}</span></li>`)}</ul>
            <div class="table-place">
              <table class="figures-table">
                <caption class="hidden">${msg("The weather by place")}</caption>
                <thead><tr><th scope="col">${msg("Place")}</th>${KINDS.map((kind) => html`<th scope="col"
                  key=${kind}>${NAMES[kind]()}</th>`)}</tr></thead>
                <tbody>
                  ${places.map((place) => html`<tr key=${place.place_id}><th scope="row">${nameOfPlace(place)}</th>
                    ${KINDS.map((kind) => html`<td key=${kind}>${number.format(place[kind])}</td>`)}</tr>`)}
                </tbody>
              </table>
            </div>
          `}
    </section>
  `;
}
