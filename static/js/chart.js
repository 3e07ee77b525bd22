// One chart: mean lines with bands from the least to the most, alerts behind them, what is under the pointer beside it.

import uPlot from "../vendor/uplot/uPlot.esm.js";
import { clock, LEVEL_MARKS } from "./format.js";
import { columns, lonely } from "./series.js";
import { increments, say, ticks } from "./units.js";

const HEIGHT = 260;
const PHONE_HEIGHT = 200;
const PHONE = 760;
const LANE = 14; // above the curves; alerts are told in it
const NARROW = 0.2; // values that differ by less of themselves are shown without zero
const LEAST_AXIS = 64; // charts below each other begin at one line
const LEAST_DRAG = 6;
const FONT = "12px system-ui, sans-serif";
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3]];
// In the viewer's zone: [from this many seconds between ticks, what each says, what is added where the year or day turns].
const TIMES = [
  [365 * 86400, "{YYYY}", null, null, null, null, null, null, 1],
  [28 * 86400, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [86400, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
];
const LEVEL_COLOURS = { UNKNOWN: "--unknown-fill", WARNING: "--warning-fill", CRITICAL: "--critical-fill" };
const LEVELS = Object.keys(LEVEL_COLOURS);

const property = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function element(name, className, text = "") {
  const found = document.createElement(name);
  found.className = className;
  found.textContent = text;
  return found;
}

/** `place`: an empty element. `onZoom(from, to)`: somebody has marked that time (Unix seconds). */
export class Chart {
  constructor(place, onZoom) {
    this.place = place;
    this.onZoom = onZoom;
    this.plot = null;
    this.readout = element("div", "readout");
    this.readout.hidden = true;
    new ResizeObserver(() => this.plot?.setSize(this.#size())).observe(place);
  }

  /** `chart`: {unit, curves: [{metric, label, colour, points}]}. `picture`: what it is a part of, with start, end, alerts. */
  draw(chart, picture) {
    const before = this.chart;
    this.chart = chart;
    this.picture = picture;
    this.data = columns(chart.curves.map(({ points }) => points));
    const shape = (each) => JSON.stringify([each?.unit, each?.curves.map(({ label, colour }) => [label, colour])]);
    if (this.plot && shape(before) === shape(chart)) this.plot.setData(this.data);
    else this.rebuild();
  }

  /** Anew, with the colours of now. */
  rebuild() {
    this.plot?.destroy();
    this.plot = new uPlot(this.#options(), this.data, this.place);
    this.plot.over.append(this.readout);
    this.readout.hidden = true;
  }

  #size() {
    return { width: Math.max(200, this.place.clientWidth), height: innerWidth < PHONE ? PHONE_HEIGHT : HEIGHT };
  }

  #options() {
    const { unit, curves } = this.chart;
    const muted = property("--muted");
    const line = property("--line");
    const axis = { stroke: muted, font: FONT, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 4 } };
    return {
      ...this.#size(),
      padding: [LANE + 2, 20, 0, 4],
      legend: { show: false },
      cursor: {
        // Charts share where the pointer is, and not what is marked in one of them.
        sync: { key: "history", filters: { pub: (type) => type === "mousemove" || type === "mouseleave" } },
        drag: { x: true, y: false, setScale: false, dist: LEAST_DRAG },
        bind: { dblclick: () => null },
        y: false,
      },
      scales: {
        x: { time: true, range: () => [this.picture.start, this.picture.end] },
        y: { range: (_, low, high) => this.#bounds(low, high) },
      },
      axes: [
        { ...axis, space: 64, values: TIMES },
        {
          ...axis,
          space: 36,
          incrs: increments(unit),
          values: (_, values, __, ___, step) => ticks(unit, values, step),
          size: (_, values) => Math.max(LEAST_AXIS, ...(values ?? []).map((text) => text.length * 7 + 14)),
        },
      ],
      series: [{}, ...curves.flatMap((curve, index) => this.#series(curve, index))],
      bands: curves.map(({ colour }, index) => ({
        series: [1 + 3 * index, 2 + 3 * index],
        fill: `color-mix(in srgb, ${property(`--series-${colour}`)} 18%, transparent)`,
      })),
      hooks: {
        drawClear: [(plot) => this.#drawAlerts(plot)],
        setCursor: [(plot) => this.#tell(plot)],
        setSelect: [(plot) => this.#zoom(plot)],
      },
    };
  }

  #series({ label, colour }, index) {
    const stroke = property(`--series-${colour}`);
    const edge = { width: 0, points: { show: false } };
    const alone = (plot, place) => lonely(plot.data[place]);
    const mean = { label, stroke, width: 1.5, dash: DASHES[index % DASHES.length] };
    return [edge, edge, { ...mean, points: { show: false, filter: alone, size: 5, fill: stroke, stroke } }];
  }

  #bounds(low, high) {
    if (low == null) return [0, 1];
    if (low >= 0 && high - low > NARROW * high) {
      const full = this.chart.unit === "percent" && high > 95 && high <= 100;
      return [0, full ? 100 : high * 1.05];
    }
    const room = (high - low) * 0.1 || Math.abs(high) * 0.1 || 1;
    return [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
  }

  // Each alert is a bar with its sign above the curves; those of what is shown colour the time behind them, too.
  #drawAlerts(plot) {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio;
    ctx.save();
    ctx.font = `${10 * ratio}px system-ui, sans-serif`;
    ctx.textBaseline = "middle";
    const worstLast = this.picture.alerts.toSorted((one, other) => LEVELS.indexOf(one.level) - LEVELS.indexOf(other.level));
    for (const { start, end, level, metric } of worstLast) {
      const left = plot.valToPos(start, "x", true);
      const width = Math.max(2 * ratio, plot.valToPos(end, "x", true) - left);
      ctx.fillStyle = property(LEVEL_COLOURS[level]);
      if (this.#concerns(metric)) {
        ctx.globalAlpha = 0.1;
        ctx.fillRect(left, bbox.top, width, bbox.height);
        ctx.globalAlpha = 1;
      }
      ctx.fillRect(left, bbox.top - 4 * ratio, width, 4 * ratio);
      ctx.fillText(LEVEL_MARKS[level], left, bbox.top - 9 * ratio);
    }
    ctx.restore();
  }

  #concerns(path) {
    return path.startsWith("presence.") || this.chart.curves.some(({ metric }) => metric === path);
  }

  #tell({ cursor: { idx, left }, data, over }) {
    const hidden = idx == null || left < 0 || !data[0].length;
    this.readout.hidden = hidden;
    if (hidden) return;
    const at = data[0][idx];
    const rows = this.chart.curves.map(({ label, colour }, index) => {
      const [most, least, mean] = [1, 2, 3].map((offset) => data[3 * index + offset][idx]);
      const row = element("p", "");
      const { unit } = this.chart;
      const spread = most == null || most === least ? "" : `${say(unit, least)} – ${say(unit, most)}`;
      row.append(
        element("i", `key s${colour}`),
        element("span", "name", label),
        element("b", "", say(unit, mean)),
        element("span", "spread", spread),
      );
      return row;
    });
    const alerts = this.picture.alerts
      .filter(({ start, end }) => start <= at && at <= end)
      .map(({ level, metric }) => element("p", "alert", `${LEVEL_MARKS[level]} ${metric}`));
    this.readout.replaceChildren(element("p", "time", clock(at)), ...rows, ...alerts);
    const room = over.clientWidth - this.readout.offsetWidth;
    this.readout.style.left = `${left + 16 < room ? left + 16 : Math.max(0, left - this.readout.offsetWidth - 16)}px`;
  }

  #zoom(plot) {
    const { left, width } = plot.select;
    if (width < LEAST_DRAG) return;
    const [from, to] = [left, left + width].map((place) => plot.posToVal(place, "x"));
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.onZoom(from, to);
  }
}
