/** Places: the search, and the names of those that were seen. */

import { get, query } from "./api.js";
import { msg } from "./texts.js";

const seen = new Map();

/** Returns a place in one line: "Paris, Texas, United States". A point has no name but its coordinates. */
export function placeInWords(place) {
  if (!place) return "";
  const parts = [place.name, place.region, place.country].filter(Boolean);
  return parts.length ? [...new Set(parts)].join(", ") : `${place.latitude}°, ${place.longitude}°`;
}

/** Returns the name of a place by its id, as far as this page has seen it. */
export const placeName = (id) => seen.get(id) ?? msg("Place {id}", { id });

/** Remembers the name of a place. */
export function notePlace(place) {
  if (place?.id) seen.set(place.id, placeInWords(place));
}

/**
 * Searches places by their name.
 * @returns {Promise<{items: object[], complete: boolean, attribution: string}>}
 */
export async function searchPlaces(text) {
  const found = await get(`/places${query({ q: text, limit: 8 })}`);
  found.items.forEach(notePlace);
  return found;
}
