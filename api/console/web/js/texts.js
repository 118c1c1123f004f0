/** Texts for people, in the language of the reader. The catalogues are those of the whole product. */

import { computed, signal } from "./ui.js";
import { facts } from "./facts.js";
import { remember, recall } from "./storage.js";

const translations = signal({});

/** The language of the texts, one of `facts.languages`. */
export const language = signal("en");

/**
 * Returns a text in the language of the reader. The text has to be a literal in double quotes, because `make messages`
 * finds only these.
 * @param {string} text in English, with `{names}` for values
 * @param {Record<string, unknown>} [values]
 */
export function msg(text, values) {
  const template = translations.value[text] ?? text;
  return values ? template.replace(/\{(\w+)\}/g, (_, name) => String(values[name])) : template;
}

/** Returns the best of our languages for a list of language tags such as `de-AT`. */
export function bestLanguage(tags) {
  const wanted = tags.filter(Boolean).map((tag) => tag.toLowerCase().split("-")[0]);
  return wanted.find((tag) => facts.languages.includes(tag)) ?? "en";
}

/** The language with the region of the reader, if the browser names one: times look different in `en-GB` and `en-US`. */
export const region = computed(
  () => navigator.languages?.find((tag) => tag.toLowerCase().split("-")[0] === language.value) ?? language.value,
);

/** Loads the texts of a language and shows them. */
export async function speak(chosen) {
  const found = chosen === "en" ? {} : await load(chosen);
  if (!found) return;
  translations.value = found;
  language.value = chosen;
  document.documentElement.lang = chosen;
  remember("language", chosen);
}

async function load(chosen) {
  try {
    const [texts, translated] = await Promise.all(["en", chosen].map(textsIn));
    return Object.fromEntries(texts.map((text, number) => [text, translated[number]]));
  } catch {
    return null; // The texts stay in the language that they have.
  }
}

/** The lists of all languages have the same order. */
async function textsIn(wanted) {
  const response = await fetch(new URL(`../../texts/${wanted}.json`, import.meta.url));
  if (!response.ok) throw new Error(response.statusText);
  return response.json();
}

/** Shows the language that was used the last time on this device, or else that of the browser. */
export function speakAsBefore() {
  return speak(bestLanguage([recall("language"), ...(navigator.languages ?? [])]));
}
