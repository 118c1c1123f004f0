/** The filters above the board and the list. They stand in the address, so that a list can be kept and shared. */

import { html } from "../ui.js";
import { Icon } from "../icons.js";
import { WEATHER_STATES, priorityName, statusName, weatherStateName } from "../labels.js";
import { acquaintances, groups } from "../people.js";
import { route, setParams } from "../router.js";
import { profile } from "../session.js";
import { PRIORITIES, STATUSES } from "../tasks.js";
import { msg } from "../texts.js";

const NAMES = ["q", "status", "priority", "assignee_id", "user_id", "group_id", "due", "weather_state"];

/** Returns the filters that stand in the address. */
export function filtersInAddress() {
  const { params } = route.value;
  return Object.fromEntries(NAMES.filter((name) => params[name]).map((name) => [name, params[name]]));
}

/** A filter that stands in the address under its name. */
export function Filter({ name, label, options }) {
  const value = route.value.params[name] ?? "";
  return html`
    <label class=${`filter${value ? " active" : ""}`}>
      <span class="hidden">${label}</span>
      <select onChange=${(event) => setParams({ [name]: event.currentTarget.value })}>
        <option value="" selected=${!value}>${label}</option>
        ${options.map(([option, text]) => html`<option value=${option} selected=${option === value}>${text}</option>`)}
      </select>
    </label>
  `;
}

function peopleOptions() {
  const me = String(profile.value?.id);
  const others = acquaintances.value.filter(({ id }) => String(id) !== me).map(({ id, name }) => [String(id), name]);
  return [[me, msg("Me")], ...others];
}

export function Filters({ withStatus = false, children }) {
  const present = Object.keys(filtersInAddress());
  return html`
    <div class="filters" role="group" aria-label=${msg("Filters")}>
      ${withStatus ? html`<${Filter} name="status" label=${msg("Any status")}
        options=${STATUSES.map((status) => [status, statusName(status)])} />` : null}
      <${Filter} name="priority" label=${msg("Any priority")}
        options=${PRIORITIES.map((priority) => [priority, priorityName(priority)])} />
      <${Filter} name="due" label=${msg("Any deadline")}
        options=${[["overdue", msg("Overdue")], ["today", msg("Due today")], ["week", msg("Due within 7 days")]]} />
      <${Filter} name="assignee_id" label=${msg("Assigned to anybody")} options=${peopleOptions()} />
      ${groups.value.length ? html`<${Filter} name="group_id" label=${msg("Any group")}
        options=${groups.value.map(({ id, name }) => [String(id), name])} />` : null}
      <${Filter} name="weather_state" label=${msg("Any weather")}
        options=${WEATHER_STATES.map((state) => [state, weatherStateName(state)])} />
      ${children}
      ${present.length
        ? html`<button type="button" class="link-button clear-filters"
          onClick=${() => setParams(Object.fromEntries(NAMES.map((name) => [name, ""])))}>
            <${Icon} name="close" size=${16} />${msg("Clear filters")}
          </button>`
        : null}
    </div>
  `;
}
