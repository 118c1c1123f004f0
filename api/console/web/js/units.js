/** Numbers with their units, written as in the language of the reader. */

import { language } from "./texts.js";

/** Returns a number with a unit of `Intl`, as in "40%", "12 km/h" or "14°C"; null is a dash. What rounds to zero has no sign. */
export function withUnit(value, unit, digits = 0) {
  if (value === null || value === undefined) return "–";
  const options = { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: digits, signDisplay: "negative" };
  return new Intl.NumberFormat(language.value, options).format(value);
}

export const degrees = (value) => withUnit(value, "celsius");
export const percent = (value) => withUnit(value, "percent");
export const kmPerHour = (value) => withUnit(value, "kilometer-per-hour");
export const millimeters = (value) => withUnit(value, "millimeter", 1);

/** Returns a length of time in words: "45 min", "2 hr". */
export function minutesInWords(minutes) {
  if (minutes % 1440 === 0) return withUnit(minutes / 1440, "day");
  return minutes % 60 === 0 ? withUnit(minutes / 60, "hour") : withUnit(minutes, "minute");
}
