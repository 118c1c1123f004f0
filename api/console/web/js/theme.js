/** Light or dark: as the system is set, or as the reader chooses on this device. */

import { signal } from "./ui.js";
import { remember } from "./storage.js";

/** @type {{value: "system"|"light"|"dark"}} */
export const theme = signal(document.documentElement.dataset.theme ?? "system");

/** Shows a theme and keeps the choice. `web/theme.js` reads it before the page is painted. */
export function chooseTheme(chosen) {
  theme.value = chosen;
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  remember("theme", chosen === "system" ? undefined : chosen);
}

/** Whether dark colours are shown now. */
export function isDark() {
  if (theme.peek() !== "system") return theme.peek() === "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches;
}
