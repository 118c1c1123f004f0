/** A chart with groups of bars for days. */

import { html } from "../ui.js";
import { language } from "../texts.js";
import { plainColours, useChart } from "./charts.js";

const HEIGHT = 260;
/** How much of the space of a day its bars take together. */
const GROUP_SHARE = 0.72;

/**
 * @param {{days: {day: string}[], series: string[], names: string[], label: string, dayLabel: string}} properties `series`
 *     are the names of the numbers of a day, `names` how people call them
 */
export function DayChart({ days, series, names, label, dayLabel }) {
  const draw = (UPlot, element) => new UPlot(optionsFor(UPlot, element, series, [dayLabel, ...names]), dataOf(days, series), element);
  const place = useChart(draw, HEIGHT, [days]);
  return html`<div class="chart" ref=${place} role="img" aria-label=${label}></div>`;
}

const dataOf = (days, series) => [
  days.map(({ day }) => Date.parse(`${day}T00:00Z`) / 1000),
  ...series.map((name) => days.map((day) => day[name])),
];

/** Returns the options of the chart, with the colours that the page has at the moment. */
function optionsFor(UPlot, place, series, names) {
  const plain = plainColours(place);
  const axis = { stroke: plain("muted"), grid: { stroke: plain("line"), width: 1 }, ticks: { show: false }, font: `12px ${getComputedStyle(place).fontFamily}` };
  const dayFormat = new Intl.DateTimeFormat(language.value, { timeZone: "UTC", day: "numeric", month: "short" });
  return {
    width: place.clientWidth,
    height: HEIGHT,
    cursor: { drag: { x: false, y: false }, points: { show: false } },
    tzDate: (seconds) => UPlot.tzDate(new Date(seconds * 1000), "UTC"),
    scales: { x: { range: (_chart, first, last) => [first - 43_200, last + 43_200] }, y: { range: (_chart, _least, most) => [0, Math.max(4, most * 1.1)] } },
    axes: [
      { ...axis, grid: { show: false }, values: (_chart, ticks) => ticks.map((tick) => dayFormat.format(new Date(tick * 1000))), incrs: [1, 2, 7, 14, 30, 60].map((days) => days * 86_400), space: 60 },
      { ...axis, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000], size: 40 },
    ],
    series: [
      { label: names[0], value: (_chart, seconds) => (seconds === null ? "–" : dayFormat.format(new Date(seconds * 1000))) },
      ...series.map((name, index) => ({
        label: names[index + 1],
        fill: plain(`series-${name}`),
        stroke: plain(`series-${name}`),
        width: 0,
        paths: bars(UPlot, index, series.length),
        points: { show: false },
        value: (_chart, number) => number ?? "–",
      })),
    ],
  };
}

/** Returns how the bars of one series are drawn: beside those of the other series of the same day. */
function bars(UPlot, index, count) {
  const share = GROUP_SHARE / count;
  // Positions and widths are parts of the width of the whole chart, in which each day has the same space.
  const parts = (chart, from, to, partOfDay) => {
    const days = chart.data[0].length;
    return Array.from({ length: to - from + 1 }, (_, position) => partOfDay(from + position) / days);
  };
  return UPlot.paths.bars({
    radius: 0.2,
    disp: {
      x0: { unit: 2, values: (chart, _series, from, to) => parts(chart, from, to, (day) => day + (1 - GROUP_SHARE) / 2 + index * share) },
      size: { unit: 2, values: (chart, _series, from, to) => parts(chart, from, to, () => share) },
    },
  });
}
