/** Times as people read them, in the time zone of the profile. */

import { signal } from "./ui.js";
import { msg, region } from "./texts.js";

/** The time zone of the reader, as in the IANA database. */
export const zone = signal(Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC");

/** The present minute, for texts such as "5 minutes ago"; it moves on by itself. */
export const now = signal(Date.now());
setInterval(() => (now.value = Date.now()), 20_000);

const formats = new Map();

function format(options) {
  const key = JSON.stringify([region.value, zone.value, options]);
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat(region.value, { timeZone: zone.value, ...options }));
  return formats.get(key);
}

/** Returns a day and a time: "3 May 2026, 09:00". */
export function fullTime(instant) {
  return format({ dateStyle: "medium", timeStyle: "short" }).format(new Date(instant));
}

/** Returns a short form of a deadline: "Today 17:00", "Tomorrow", "3 May". */
export function shortTime(instant) {
  const days = dayDistance(instant);
  const time = format({ timeStyle: "short" }).format(new Date(instant));
  if (Math.abs(days) <= 1) {
    return `${dayInWords(days)} ${time}`;
  }
  const sameYear = wallTime(instant).slice(0, 4) === wallTime(now.value).slice(0, 4);
  return format({ day: "numeric", month: "short", ...(sameYear ? {} : { year: "numeric" }) }).format(new Date(instant));
}

/** Returns a day that is written "2026-05-03" in full: "3 May 2026". */
export function fullDay(day) {
  return new Intl.DateTimeFormat(region.value, { timeZone: "UTC", dateStyle: "medium" }).format(new Date(`${day}T00:00Z`));
}

/** Returns a short form of a day: "Today", "3 May". */
export function shortDay(day) {
  const days = Math.round((Date.parse(day) - Date.parse(dayAfterToday(0))) / 86_400_000);
  return Math.abs(days) <= 1 ? dayInWords(days) : dayName(day);
}

/** Returns "Yesterday", "Today" or "Tomorrow". */
function dayInWords(days) {
  const day = new Intl.RelativeTimeFormat(region.value, { numeric: "auto" }).format(days, "day");
  return `${day[0].toUpperCase()}${day.slice(1)}`;
}

/** Returns the short name of a day of the week; 0 is Monday. */
export function weekdayName(index) {
  // 1 January 2024 was a Monday.
  return new Intl.DateTimeFormat(region.value, { timeZone: "UTC", weekday: "short" }).format(new Date(Date.UTC(2024, 0, 1 + index)));
}

/** Returns a span of time: "Sun 3 May, 09:00 – 10:00". */
export function fullSpan(begin, end) {
  return format({ weekday: "short", day: "numeric", month: "short", hour: "numeric", minute: "2-digit" }).formatRange(new Date(begin), new Date(end));
}

/** Returns how long ago something was: "5 minutes ago". */
export function timeAgo(instant) {
  const seconds = Math.round((new Date(instant).getTime() - now.value) / 1000);
  if (Math.abs(seconds) < 45) return msg("just now");
  return relative(seconds);
}

/** Returns how long ago something was, to the second. */
export function exactlyAgo(instant) {
  return relative(Math.min(-1, Math.round((new Date(instant).getTime() - Date.now()) / 1000)));
}

const UNITS = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

function relative(seconds) {
  const [unit, size] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? UNITS.at(-1);
  return new Intl.RelativeTimeFormat(region.value, { numeric: "auto" }).format(Math.round(seconds / size), unit);
}

/** Returns how many days a time lies after today; -1 is yesterday. */
function dayDistance(instant) {
  const day = (value) => Date.parse(`${wallTime(value).slice(0, 10)}T00:00Z`) / 86_400_000;
  return day(instant) - day(now.value);
}

/** Returns what a clock in the reader's zone shows at a time, as form fields write it: "2026-05-03T09:00". */
export function wallTime(instant, timeZone = zone.value) {
  const parts = new Intl.DateTimeFormat("en-GB", {
    timeZone, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit",
  }).formatToParts(new Date(instant));
  const part = Object.fromEntries(parts.map(({ type, value }) => [type, value]));
  return `${part.year.padStart(4, "0")}-${part.month}-${part.day}T${part.hour}:${part.minute}`;
}

/**
 * Returns the time at which a clock in a zone shows this, in UTC. Where the clock is turned back and shows it twice, it
 * is one of both; where it is turned forward past it, it is the time just as long after the change.
 */
export function instantOf(wall, timeZone = zone.value) {
  const asUtc = Date.parse(`${wall.slice(0, 16)}Z`);
  let instant = asUtc;
  // The offset of the zone depends on the time itself, so the second attempt corrects the first.
  for (let attempt = 0; attempt < 2; attempt += 1) {
    instant = asUtc - (Date.parse(`${wallTime(instant, timeZone)}Z`) - instant);
  }
  return new Date(instant).toISOString();
}

/** Returns the day in the reader's zone that lies some days after today, as "2026-05-03". */
export function dayAfterToday(days) {
  return new Date(Date.parse(`${wallTime(now.value).slice(0, 10)}T00:00Z`) + days * 86_400_000).toISOString().slice(0, 10);
}

/** Returns the name of a day that is written "2026-05-03", without the year. */
export function dayName(day) {
  const options = { timeZone: "UTC", day: "numeric", month: "short" };
  return new Intl.DateTimeFormat(region.value, options).format(new Date(`${day}T00:00Z`));
}
