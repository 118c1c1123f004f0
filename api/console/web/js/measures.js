/** The names and the values of the numbers that show whether the installation is well. */

import { language, msg } from "./texts.js";
import { withUnit } from "./units.js";

const NAMES = {
  "processes.web": () => msg("Web processes"),
  "processes.worker": () => msg("Workers"),
  "processes.beat": () => msg("Beat"),
  "redis.available": () => msg("Redis responds"),
  "events.unpublished": () => msg("Events not published yet"),
  "events.lag": () => msg("Oldest event not published"),
  "events.published": () => msg("Events published"),
  "jobs.run": () => msg("Jobs"),
  "jobs.failed": () => msg("Failed jobs"),
  "jobs.p99": () => msg("Slowest jobs (p99)"),
  "requests.served": () => msg("Requests"),
  "requests.failed": () => msg("Failed requests"),
  "requests.p99": () => msg("Slowest requests (p99)"),
  "requests.rate_limited": () => msg("Requests above their limit"),
  "requests.overloaded": () => msg("Requests refused by overload"),
  "sockets.open": () => msg("Open sockets"),
  "sockets.evicted": () => msg("Sockets that read too slowly"),
  "weather.waiting": () => msg("Weather that waits"),
  "weather.given_up": () => msg("Weather given up"),
  "weather.calls": () => msg("Calls of this day, of their limit"),
  "weather.searches": () => msg("Searches of people on this day, of their limit"),
  "weather.stopped": () => msg("The provider fails"),
  "forecasts.waiting": () => msg("Forecasts to be fetched"),
  "forecasts.late": () => msg("Oldest forecast to be fetched"),
  "judgements.waiting": () => msg("Tasks to be compared with their forecast"),
  "judgements.late": () => msg("Oldest task to be compared with its forecast"),
  "mails.waiting": () => msg("Mails that wait"),
  "mails.given_up": () => msg("Mails given up"),
  "mails.hour": () => msg("Mails of this hour, of their limit"),
  "figures.waiting": () => msg("Changes not in the figures yet"),
  "database.size": () => msg("Size of the database"),
  "database.connections": () => msg("Connections to PostgreSQL, of their limit"),
  "storage.size": () => msg("Size of the files"),
  "storage.files": () => msg("Stored files"),
  "storage.removable": () => msg("Files to be removed"),
};
const QUEUE = {
  length: (queue) => msg("Queue “{queue}”: jobs", { queue }),
  oldest: (queue) => msg("Queue “{queue}”: oldest job", { queue }),
};
/** The groups in which the measures are shown, with the first words of the names of their measures. */
const GROUPS = [
  { title: () => msg("Processes"), words: ["processes", "redis"] },
  { title: () => msg("Events"), words: ["events"] },
  { title: () => msg("Queues"), words: ["queue"] },
  { title: () => msg("Requests"), words: ["requests", "sockets"] },
  { title: () => msg("Jobs"), words: ["jobs"] },
  { title: () => msg("Mails"), words: ["mails"] },
  { title: () => msg("Weather"), words: ["weather", "forecasts", "judgements"] },
  { title: () => msg("Database"), words: ["database", "figures"] },
  { title: () => msg("Files"), words: ["storage"] },
];
const BYTE_UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];

/** Returns what people call a measure; a new one that has no name here yet keeps that of the API. */
export function measureName(name) {
  const [group, queue, kind] = name.split(".");
  return group === "queue" && QUEUE[kind] ? QUEUE[kind](queue) : (NAMES[name]?.() ?? name);
}

/** Returns the measures in groups of what belongs together. */
export const groupsOf = (measures) =>
  GROUPS.map(({ title, words }) => ({
    title: title(),
    members: measures.filter(({ name }) => words.includes(name.split(".")[0])),
  }));

const number = (value, digits = 0) => new Intl.NumberFormat(language.value, { maximumFractionDigits: digits }).format(value);

const VALUES = {
  count: number,
  per_minute: (value) => msg("{number} a minute", { number: number(value, 1) }),
  seconds: (value) => withUnit(value, "second", 1),
  milliseconds: (value) => withUnit(value, "millisecond", 1),
  bytes: bytesInWords,
  percent: (value) => withUnit(value, "percent"),
};

/** Returns a number of bytes in words. */
export function bytesInWords(bytes) {
  // An average may be less than one byte.
  const step = bytes >= 1 ? Math.min(Math.floor(Math.log10(bytes) / 3), BYTE_UNITS.length - 1) : 0;
  return withUnit(bytes / 1000 ** step, BYTE_UNITS[step], step ? 1 : 0);
}

/** Returns a value with its unit; one that is not known is a dash. */
export const measureValue = (value, unit) => (value === null || value === undefined ? "–" : VALUES[unit](value));
