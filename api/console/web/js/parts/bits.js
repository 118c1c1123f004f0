/** Small things that many pages show. */

import { html, classes, useEffect, useRef } from "../ui.js";
import { conditionName } from "../conditions.js";
import { Icon } from "../icons.js";
import { priorityName, statusName, weatherStateName } from "../labels.js";
import { connection } from "../live.js";
import { nameOf } from "../people.js";
import { placeInWords } from "../places.js";
import { isOverdue } from "../queries.js";
import { msg } from "../texts.js";
import { fullDay, fullTime, shortDay, shortTime, timeAgo } from "../times.js";
import { degrees } from "../units.js";

const HUES = 8;

/** The initials of a person on a colour that is always the same for this person. */
export function Avatar({ id, size = "small" }) {
  const name = nameOf(id);
  const initials = name.split(/[\s._-]+/).slice(0, 2).map((word) => [...word][0] ?? "").join("").toUpperCase();
  return html`<span class=${`avatar avatar-${size} hue-${id % HUES}`} title=${name}
    aria-hidden="true">${initials}</span>`;
}

/** The initials and the name of a person. */
export const Person = ({ id }) => html`<span class="person"><${Avatar} id=${id} /><span>${nameOf(id)}</span></span>`;

/** A time as people say it; the exact time is shown when the pointer rests on it. */
export const Ago = ({ at }) => html`<time datetime=${at} title=${fullTime(at)}>${timeAgo(at)}</time>`;

/** A deadline, in another colour and with a word when it has passed. */
export function Due({ task }) {
  if (!task.due_at) return null;
  const late = isOverdue(task);
  return html`
    <span class=${classes("fact", { late })} title=${task.due_on ? fullDay(task.due_on) : fullTime(task.due_at)}>
      <${Icon} name="calendar" size=${16} />
      <span>${late ? html`<span class="hidden">${msg("Overdue:")} </span>` : null}${task.due_on ? shortDay(task.due_on) : shortTime(task.due_at)}</span>
    </span>
  `;
}

/** A priority as an icon and a word. */
export const Priority = ({ value }) => html`
  <span class=${`fact priority priority-${value}`}><${Icon} name=${value}
    size=${16} /><span>${priorityName(value)}</span></span>
`;

/** A status as a dot and a word. */
export const Status = ({ value }) => html`<span class=${`status status-${value}`}>${statusName(value)}</span>`;

const STATE_ICONS = { ok: "check", warned: "warning", unknown: "cloud" };

/** Whether the forecast satisfies the rule of a task, as an icon and a word. */
export const WeatherState = ({ value }) =>
  value ? html`<span class=${`fact weather-state weather-${value}`}><${Icon} name=${STATE_ICONS[value]}
    size=${16} /><span>${weatherStateName(value)}</span></span>` : null;

/** The weather of a task in one line: that of its deadline where there is a forecast of it, or else that of now. */
export function Weather({ task }) {
  const { weather, forecast } = task;
  const place = task.city ?? placeInWords(task.place);
  if (!place && !weather) return null;
  const shown = forecast?.horizon === "within" ? forecast : weather;
  const text = shown ? degrees(shown.temperature) : place;
  const title = shown ? `${place}: ${conditionName(shown.condition)}` : place;
  return html`<span class="fact" title=${title}><${Icon} name="cloud" size=${16} /><span>${text}</span></span>`;
}

/** Grey lines in place of something that is being read, of about the same size. */
export const Skeleton = ({ lines = 3, label = msg("Loading") }) => html`
  <div class="skeleton" role="status" aria-label=${label}>
    ${Array.from({ length: lines }, (_, index) => html`<span class=${`skeleton-line width-${index % 3}`}></span>`)}
  </div>
`;

/** What to do where there is nothing yet. */
export const Empty = ({ icon, title, children }) => html`
  <div class="empty">
    <span class="empty-icon"><${Icon} name=${icon} size=${28} /></span>
    <p class="empty-title">${title}</p>
    <div class="empty-text">${children}</div>
  </div>
`;

/** Something could not be read. When the connection comes back meanwhile, it is read again. */
export function Failed({ text, onRetry }) {
  const isLive = connection.value === "live";
  const wasLive = useRef(isLive);
  useEffect(() => {
    if (isLive && !wasLive.current) void onRetry();
    wasLive.current = isLive;
  }, [isLive]);
  return html`
    <div class=${classes("failed", { calm: connection.value === "offline" })} role="alert">
      <p>${text}</p>
      <button type="button" class="button" onClick=${onRetry}>${msg("Try again")}</button>
    </div>
  `;
}
