/** The view library, in one place: components import what they need of it from here. */

import { h, render, Fragment, createPortal } from "../../vendor/preact.js";
import { useEffect, useLayoutEffect, useRef, useState, useMemo, useId } from "../../vendor/preact-hooks.js";
import { signal, computed, effect, batch, useSignal, useComputed, useSignalEffect } from "../../vendor/preact-signals.js";
import htm from "../../vendor/htm.js";

/** Builds elements from a template, as in html`<p class=${name}>${text}</p>`. */
export const html = htm.bind(h);

export { render, Fragment, createPortal };
export { useEffect, useLayoutEffect, useRef, useState, useMemo, useId };
export { signal, computed, effect, batch, useSignal, useComputed, useSignalEffect };

/** Returns the names of those classes whose value is true, as in classes("card", {dragged: true}). */
export function classes(always, sometimes = {}) {
  return [always, ...Object.keys(sometimes).filter((name) => sometimes[name])].filter(Boolean).join(" ");
}
