/** The place of a task, its weather now, and that of its deadline. */

import { html, useEffect, useRef, useState } from "../ui.js";
import { conditionName } from "../conditions.js";
import { facts } from "../facts.js";
import { Icon } from "../icons.js";
import { fieldName } from "../labels.js";
import { explain } from "../notices.js";
import { placeInWords, searchPlaces } from "../places.js";
import { msg } from "../texts.js";
import { fullDay, fullTime } from "../times.js";
import { degrees, kmPerHour, percent } from "../units.js";
import { Ago, Skeleton } from "../parts/bits.js";
import { Dialog } from "../parts/dialog.js";
import { TextInPlace } from "../parts/in_place.js";

const SEARCH_PAUSE_MS = 300;

const WEATHER_STATUS = {
  pending: () => msg("The weather is being fetched."),
  unavailable: () => msg("There is no weather for this place."),
};

/** Who has made the weather, as its provider wants it to be said. */
export const Attribution = ({ provider }) => html`<p class="hint">${facts.attributions[provider] ?? provider}</p>`;

export function Place({ task, save }) {
  const [isSearching, setSearching] = useState(false);
  const { weather, forecast, place } = task;
  const shown = weather ?? forecast;
  const choose = (chosen) => {
    setSearching(false);
    save({ place_id: chosen.id }, msg("The place is now {place}.", { place: placeInWords(chosen) }));
  };
  return html`
    <div class="fact-field">
      <span class="fact-label">${fieldName("city")}</span>
      <${TextInPlace} className="city" as="span" label=${fieldName("city")}
        value=${task.city ?? place?.name ?? ""} maxlength="120"
        basis=${task} placeholder=${msg("Add a city for the weather")}
        onSave=${(city, basis) => save(city || basis.city ? { city: city || null } : { place_id: null }, null, basis)} />
      ${place ? html`<p class="hint place-name">${placeInWords(place)}</p>` : null}
      <button type="button" class="link-button" onClick=${() => setSearching(true)}><${Icon} name="search"
        size=${16} />${place ? msg("Choose another place") : msg("Search for a place")}</button>
      ${isSearching ? html`<${PlaceSearch} begin=${task.city ?? place?.name ?? ""} onChoose=${choose}
        onClose=${() => setSearching(false)} />` : null}
      ${forecast ? html`<${Forecast} task=${task} />` : null}
      ${weather ? html`<p class="hint">${msg("Now {degrees}, {condition}, feels like {felt}, wind {wind}", { degrees: degrees(weather.temperature), condition: conditionName(weather.condition), felt: degrees(weather.feels_like), wind: kmPerHour(weather.wind_speed * 3.6) })} (<${Ago} at=${weather.fetched_at} />)</p>` : null}
      ${shown ? html`<${Attribution} provider=${shown.provider} />` : task.weather_status ? html`<p
        class="hint">${WEATHER_STATUS[task.weather_status]?.()}</p>` : null}
    </div>
  `;
}

const HORIZONS = {
  beyond: () => msg("The deadline is still too far away for a forecast. It comes by itself."),
  past: () => msg("The deadline has passed, so there is no forecast of it."),
};

function Forecast({ task }) {
  const { forecast } = task;
  if (!task.due_at) return html`<p class="hint">${msg("With a deadline you see its forecast here.")}</p>`;
  if (forecast.horizon !== "within") return html`<p class="hint">${HORIZONS[forecast.horizon]()}</p>`;
  const when = task.due_on ? fullDay(task.due_on) : fullTime(task.due_at);
  const facts = { rain: percent(forecast.rain_probability), wind: kmPerHour(forecast.wind), gusts: kmPerHour(forecast.gusts) };
  return html`
    <div class="weather-card">
      <p class="hint">${msg("Forecast for {when}", { when })}</p>
      <p class="weather-now"><${Icon} name="cloud"
        size=${28} /><strong>${degrees(forecast.temperature)}</strong><span>${conditionName(forecast.condition)}</span></p>
      <p class="hint">${msg("Rain {rain}, wind {wind}, gusts {gusts}", facts)}</p>
    </div>
  `;
}

/** Searches places by name; those with the same name are told apart by region and country. */
function PlaceSearch({ begin, onChoose, onClose }) {
  const [text, setText] = useState(begin);
  const [found, setFound] = useState(null);
  const [problem, setProblem] = useState("");
  const current = useRef(null);
  useEffect(() => {
    const wanted = text.trim();
    if (!wanted) return undefined;
    const attempt = (current.current = {});
    const search = async () => {
      try {
        const result = await searchPlaces(wanted);
        if (current.current === attempt) setFound(result);
        setProblem("");
      } catch (error) {
        if (current.current === attempt) setProblem(explain(error));
      }
    };
    const timer = setTimeout(search, found ? SEARCH_PAUSE_MS : 0);
    return () => clearTimeout(timer);
  }, [text]);
  return html`
    <${Dialog} title=${msg("Search for a place")} onClose=${onClose}>
      <div class="field">
        <input type="text" data-focus aria-label=${msg("Name of the place")} value=${text} maxlength="120"
          autocomplete="off" onInput=${(event) => setText(event.currentTarget.value)} />
      </div>
      <div role="status">
        ${problem ? html`<p class="form-problem">${problem}</p>` : null}
        ${!found && text.trim() && !problem ? html`<${Skeleton} lines=${3} />` : null}
        ${found && !found.items.length ? html`<p>${msg("No place has this name.")}</p>` : null}
        ${found && !found.complete ? html`<p class="hint">${msg("The search does not respond now, so places may be missing. Please try again later.")}</p>` : null}
      </div>
      <ul class="places">
        ${found?.items.map((place) => html`<li key=${place.id}><button type="button" onClick=${() => onChoose(place)}>
          <${Icon} name="pin" size=${18} /><span><strong>${place.name}</strong><span
            class="hint">${[place.region, place.country].filter(Boolean).join(", ")}</span></span>
        </button></li>`)}
      </ul>
      ${found ? html`<p class="hint">${found.attribution}</p>` : null}
    <//>
  `;
}
