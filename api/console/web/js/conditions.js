/** The names of weather conditions, which the API says in English. */

import { msg } from "./texts.js";

/** The conditions of all forecasts. The weather of now may have others with some providers; they stay as they are. */
const NAMES = {
  "clear sky": () => msg("clear sky"),
  "mainly clear": () => msg("mainly clear"),
  "partly cloudy": () => msg("partly cloudy"),
  overcast: () => msg("overcast"),
  fog: () => msg("fog"),
  "depositing rime fog": () => msg("depositing rime fog"),
  "light drizzle": () => msg("light drizzle"),
  "moderate drizzle": () => msg("moderate drizzle"),
  "dense drizzle": () => msg("dense drizzle"),
  "light freezing drizzle": () => msg("light freezing drizzle"),
  "dense freezing drizzle": () => msg("dense freezing drizzle"),
  "slight rain": () => msg("slight rain"),
  "moderate rain": () => msg("moderate rain"),
  "heavy rain": () => msg("heavy rain"),
  "light freezing rain": () => msg("light freezing rain"),
  "heavy freezing rain": () => msg("heavy freezing rain"),
  "slight snow fall": () => msg("slight snow fall"),
  "moderate snow fall": () => msg("moderate snow fall"),
  "heavy snow fall": () => msg("heavy snow fall"),
  "snow grains": () => msg("snow grains"),
  "slight rain showers": () => msg("slight rain showers"),
  "moderate rain showers": () => msg("moderate rain showers"),
  "violent rain showers": () => msg("violent rain showers"),
  "slight snow showers": () => msg("slight snow showers"),
  "heavy snow showers": () => msg("heavy snow showers"),
  thunderstorm: () => msg("thunderstorm"),
  "thunderstorm with slight hail": () => msg("thunderstorm with slight hail"),
  "thunderstorm with heavy hail": () => msg("thunderstorm with heavy hail"),
};

/** Returns what people call a condition, such as `slight rain`. */
export const conditionName = (condition) => NAMES[condition]?.() ?? condition;
