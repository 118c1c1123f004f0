/** A small chart of the last hours of a number. */

import { html } from "../ui.js";
import { msg } from "../texts.js";
import { plainColours, useChart } from "./charts.js";

const HEIGHT = 44;
const COLOURS = { ok: "accent", warn: "warm", bad: "bad" };

/** @param {{points: [string, number][], state: string, say: (value: number) => string, hours: number}} properties */
export function Spark({ points, state, say, hours }) {
  const draw = (UPlot, element) => new UPlot(optionsFor(element, state), dataOf(points), element);
  const place = useChart(draw, HEIGHT, [points, state]);
  const values = points.map(([, value]) => value);
  const label = values.length
    ? msg("Last {hours} hours: from {least} to {most}", { hours, least: say(Math.min(...values)), most: say(Math.max(...values)) })
    : msg("Nothing was measured yet");
  return html`<div class="spark" ref=${place} role="img" aria-label=${label} title=${label}></div>`;
}

const dataOf = (points) => [points.map(([at]) => Date.parse(at) / 1000), points.map(([, value]) => value)];

function optionsFor(element, state) {
  const plain = plainColours(element);
  return {
    width: element.clientWidth,
    height: HEIGHT,
    cursor: { show: false },
    legend: { show: false },
    padding: [4, 0, 4, 0],
    scales: { y: { range: (_chart, _least, most) => [0, Math.max(1, most * 1.1)] } },
    axes: [{ show: false }, { show: false }],
    series: [{}, { stroke: plain(COLOURS[state]), fill: plain("accent-soft"), width: 1.5, points: { show: false } }],
  };
}
