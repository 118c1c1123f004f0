/** What all charts share. The chart library is loaded when the first chart is shown. */

import { useEffect, useRef } from "../ui.js";
import { language } from "../texts.js";
import { theme } from "../theme.js";

const VENDOR = new URL("../../../vendor/", import.meta.url);

let library = null;

/** Loads the chart library and its style, once. */
function loadLibrary() {
  library ??= (async () => {
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = new URL("uplot.css", VENDOR);
    const isStyled = new Promise((resolve) => (style.onload = style.onerror = resolve));
    document.head.append(style);
    const [module] = await Promise.all([import("../../../vendor/uplot.js"), isStyled]);
    return module.default;
  })();
  return library;
}

/**
 * Draws a chart, and draws it again when something that it shows has changed.
 * @param {(library: Function, element: HTMLElement) => object} create returns the chart of the library
 * @param {number} height
 * @param {unknown[]} shown what the chart shows
 * @returns a reference for the element that the chart is put into
 */
export function useChart(create, height, shown) {
  const place = useRef(null);
  useEffect(() => {
    const element = place.current;
    let chart = null;
    let isGone = false;
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const draw = async () => {
      const UPlot = await loadLibrary();
      if (isGone) return;
      chart?.destroy();
      chart = create(UPlot, element);
    };
    const resize = new ResizeObserver(() => chart?.setSize({ width: element.clientWidth, height }));
    resize.observe(element);
    dark.addEventListener("change", draw);
    void draw();
    return () => {
      isGone = true;
      resize.disconnect();
      dark.removeEventListener("change", draw);
      chart?.destroy();
    };
  }, [...shown, theme.value, language.value]);
  return place;
}

/** Returns a function that gives the colours which the page has at the moment, as in `plain("muted")`. */
export function plainColours(place) {
  // A custom property may hold `light-dark(…)`, which a canvas does not understand; a computed colour is plain.
  return (name) => {
    const probe = document.createElement("span");
    // Where less motion is wanted, colours change by a very short transition, whose beginning would be read here.
    probe.style.transitionProperty = "none";
    probe.style.color = `var(--${name})`;
    place.append(probe);
    const { color } = getComputedStyle(probe);
    probe.remove();
    return color;
  };
}
