// Charts of values by slot, on uPlot: colours of the theme, units at the cursor, totals and peaks in
// the legend; by mouse, touch and keyboard. A figure made by the server (`.chart`) becomes one.
//
// Not here: where the values come from, and what a range that was chosen leads to (`chosen`).

import { element } from "./dialog.js";
import { bitsPerSecond, bytes, count, time } from "./units.js";

const HEIGHT = 220;
const DAY = 86_400;
// Steps between times below a chart, in seconds.
const TICKS = [60, 300, 900, 1800, 3600, 10_800, 21_600, 43_200, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 28 * DAY];

// Steps between values beside it: no less than one of its unit.
const INCREMENTS = Array.from({ length: 19 }, (_, n) => [1, 2, 5].map((i) => i * 10 ** n)).flat();

const UNITS = {
  bytes,
  bps: bitsPerSecond,
  count: (n) => count(Math.round(n)),
  micros(us) {
    if (us < 999.5) return `${us.toFixed(0)} µs`;
    return us < 999_500 ? `${(us / 1e3).toFixed(1)} ms` : `${(us / 1e6).toFixed(2)} s`;
  },
};

// Colours as the theme has them now: those of custom properties, such as "series-1".
const colours = new Map();
const probe = element("i");
const charts = new Set();

function colour(name) {
  if (!colours.has(name)) {
    document.body.append(probe);
    probe.style.color = `var(--${name})`;
    colours.set(name, getComputedStyle(probe).color);
    probe.remove();
  }
  return colours.get(name);
}

function recolour() {
  colours.clear();
  for (const chart of charts) chart.redraw(false);
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
new MutationObserver(recolour).observe(document.documentElement, { attributeFilter: ["data-theme"] });

// Draws into a figure with `data-plot` and `data-legend`, in place of what is there.
//
// `spec`: { title, unit: bytes | bps | count | micros, kind: lines | stack, start, step, offset, now
// (seconds), lines: [{ label, colour, dashed, adds, values }], details: [{ of, label, values }] }.
// A value is null where there is none. `chosen(from, to)`: a range was dragged, on starts of slots.
//
// Gives { set(spec), range(), looked(), destroy() }: `range` is that around the slot that was looked
// at last, to zoom without a drag; `looked` is when that was.
export function draw(figure, spec, { chosen } = {}) {
  const host = figure.querySelector("[data-plot]");
  const tip = element("div", { class: "tip", hidden: true });
  host.replaceChildren(tip);
  host.classList.add("live");
  const seen = { n: null, at: 0 };
  let chart = plot(host, spec, { tip, seen, chosen });
  legend(figure, spec, () => chart);
  const resized = new ResizeObserver(() => {
    const width = host.clientWidth;
    if (width > 0 && width !== chart.width) chart.setSize({ width, height: HEIGHT });
  });
  resized.observe(host);
  const unbind = bind(host, () => chart, () => spec, chosen);
  const end = () => {
    charts.delete(chart);
    chart.destroy();
  };
  return {
    chart: () => chart,
    set(next) {
      spec = next;
      end();
      chart = plot(host, spec, { tip, seen, chosen });
      legend(figure, spec, () => chart);
    },
    range() {
      const last = spec.lines[0].values.length;
      const at = Math.min(seen.n ?? last >> 1, last);
      const part = Math.max(1, last >> 2);
      return [at - part, at + part].map((n) => slotStart(spec, Math.min(Math.max(n, 0), last)));
    },
    looked: () => seen.at,
    destroy() {
      resized.disconnect();
      unbind();
      end();
    },
  };
}

// Redraws it all: for those who measure it.
export function redraw(drawn) {
  drawn.chart().redraw(true, true);
}

function slotStart(spec, n) {
  return spec.start + spec.step * n;
}

// The columns that uPlot draws. Of a stack each line stands on those before it.
function columns(spec) {
  const n = spec.lines[0].values.length;
  const times = Array.from({ length: n }, (_, i) => slotStart(spec, i));
  if (spec.kind !== "stack") return [times, ...spec.lines.map((line) => line.values)];
  const sums = new Array(n).fill(null);
  const stacked = spec.lines.map(({ values }) => {
    values.forEach((value, i) => value !== null && (sums[i] = (sums[i] ?? 0) + value));
    return sums.slice();
  });
  // The highest first, so that lower ones are drawn over it.
  return [times, ...stacked.reverse()];
}

function plot(host, spec, { tip, seen, chosen }) {
  const stack = spec.kind === "stack";
  const text = UNITS[spec.unit];
  const lines = stack ? spec.lines.toReversed() : spec.lines;
  const end = slotStart(spec, spec.lines[0].values.length);
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  // Dashes, and wide lines, of more points than a screen has take longer than all else.
  const dense = spec.lines[0].values.length > 2000;
  const series = lines.map((line) => ({
    label: line.label,
    stroke: () => colour(line.colour),
    fill: stack ? () => colour(line.colour) : undefined,
    width: stack ? 0 : dense ? 1 : 1.75,
    dash: line.dashed && !dense ? [6, 4] : undefined,
    paths: stack ? area : undefined,
    points: stack || dense ? { show: false } : { size: 5, fill: () => colour(line.colour) },
  }));
  const grid = { stroke: () => colour("grid"), width: 1 };
  const axis = { stroke: () => colour("soft"), font, grid, ticks: { show: false } };
  const made = new uPlot(
    {
      width: Math.max(host.clientWidth, 120),
      height: HEIGHT,
      legend: { show: false },
      padding: [12, 12, 0, 0],
      scales: {
        x: { time: false, range: () => [spec.start, end] },
        y: { range: (_, __, most) => [0, Math.max(most * 1.08, 4)] },
      },
      series: [{}, ...series],
      axes: [
        {
          ...axis,
          size: 34,
          splits: (u) => ticks(u, spec),
          values: (_, times) => times.map((at) => tick(at, spec)),
        },
        {
          ...axis,
          // The same for charts below each other, where there is room.
          size: (u, texts) => (u.width > 500 ? 84 : 18 + 7 * longest(texts ?? [])),
          incrs: INCREMENTS,
          values: (_, values) => values.map(text),
        },
      ],
      cursor: {
        y: false,
        drag: { x: Boolean(chosen), y: false, setScale: false, dist: 6 },
        points: { show: !stack, size: 8 },
      },
      hooks: {
        drawClear: [(u) => shade(u, spec)],
        setCursor: [(u) => say(u, spec, tip, seen)],
        setSelect: [(u) => select(u, spec, chosen)],
      },
    },
    columns(spec),
    host,
  );
  charts.add(made);
  return made;
}

// What fills the slots up to their values: columns, or where these would be thinner than a few
// points of the screen one outline, with the largest of neighbours.
function area(u, line) {
  const values = u.data[line];
  const slots = values.length;
  const { left, width } = u.bbox;
  const floor = u.valToPos(0, "y", true);
  const x = (n) => left + (n / slots) * width;
  const path = new Path2D();
  const wide = width / slots;
  if (wide >= 4 * devicePixelRatio) {
    const gap = Math.max(devicePixelRatio, wide * 0.1);
    values.forEach((value, n) => {
      if (!value) return;
      const top = u.valToPos(value, "y", true);
      path.rect(x(n), top, wide - gap, floor - top);
    });
  } else {
    const part = Math.ceil(slots / width);
    path.moveTo(left, floor);
    for (let n = 0; n < slots; n += part) {
      let most = 0;
      for (let i = n; i < Math.min(n + part, slots); i++) most = Math.max(most, values[i] ?? 0);
      const top = u.valToPos(most, "y", true);
      path.lineTo(x(n), top);
      path.lineTo(x(Math.min(n + part, slots)), top);
    }
    path.lineTo(left + width, floor);
    path.closePath();
  }
  return { fill: path, flags: 1 };
}

function longest(texts) {
  return Math.max(5, ...texts.map(({ length }) => length));
}

// === Along the time ===

function ticks(u, spec) {
  const [from, to] = [u.scales.x.min, u.scales.x.max];
  const room = Math.max(2, Math.floor(u.bbox.width / devicePixelRatio / 84));
  const fits = (step) => (to - from) / step <= room;
  const step = TICKS.find((tick) => tick >= Math.min(spec.step, DAY) && fits(tick)) ?? TICKS.at(-1);
  const found = [];
  const first = Math.ceil((from + spec.offset) / step) * step - spec.offset;
  for (let at = first; at < to; at += step) found.push(at);
  return found;
}

// Days by their date, other times by the clock.
function tick(at, spec) {
  const text = new Date((at + spec.offset) * 1000).toISOString();
  return text.endsWith("T00:00:00.000Z") ? text.slice(5, 10) : text.slice(11, 16);
}

// The slot that is being counted is not whole: it is drawn on another ground.
function shade(u, spec) {
  const counting = Math.floor((spec.now - spec.start) / spec.step);
  if (counting < 0 || counting >= spec.lines[0].values.length) return;
  const left = u.valToPos(slotStart(spec, counting), "x", true);
  const right = u.valToPos(slotStart(spec, counting + 1), "x", true);
  u.ctx.save();
  u.ctx.fillStyle = colour("notice-tint");
  u.ctx.fillRect(left, u.bbox.top, Math.max(right - left, 2 * devicePixelRatio), u.bbox.height);
  u.ctx.restore();
}

function select(u, spec, chosen) {
  const { left, width } = u.select;
  if (!chosen || width < 1) return;
  const at = (x) => (u.posToVal(x, "x") - spec.start) / spec.step;
  const last = spec.lines[0].values.length;
  const from = Math.max(Math.floor(at(left)), 0);
  const to = Math.min(Math.max(Math.ceil(at(left + width)), from + 1), last);
  u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  chosen(slotStart(spec, from), slotStart(spec, to));
}

function swatch(name, dashed) {
  return element("i", { class: `swatch c-${name}${dashed ? " dashed" : ""}` });
}

// === At the cursor ===

function when(spec, n) {
  const whole = time(slotStart(spec, n), spec.offset);
  const text = spec.step >= DAY ? whole.slice(0, 10) : whole.slice(0, 16);
  const counting = Math.floor((spec.now - spec.start) / spec.step) === n;
  return counting ? `${text}, still counting` : text;
}

// Label, value and colour of every line in one slot; details behind their line.
function readings(spec, n) {
  const text = UNITS[spec.unit];
  return spec.lines.map((line, of) => {
    const value = line.values[n];
    const parts = (spec.details ?? []).filter((d) => d.of === of && d.values[n] > 0);
    const among = parts.map((d) => `${d.label}: ${text(d.values[n])}`).join(", ");
    return { ...line, text: value === null || value === undefined ? "no value" : text(value), among };
  });
}

function say(u, spec, tip, seen) {
  const n = u.cursor.idx;
  const away = n === null || n === undefined || u.cursor.left < 0;
  tip.hidden = away;
  if (away) return;
  Object.assign(seen, { n, at: performance.now() });
  const head = element("strong", {}, when(spec, n));
  const rows = readings(spec, n).map(({ colour: name, dashed, label, text, among }) => {
    const row = [swatch(name, dashed), element("span", {}, label), element("b", {}, text)];
    if (among) row.push(element("small", {}, among));
    return element("div", {}, ...row);
  });
  tip.replaceChildren(head, ...rows);
  const over = u.over.offsetLeft + u.cursor.left;
  const right = over + tip.offsetWidth + 16 < u.width;
  tip.style.left = `${Math.max(0, right ? over + 12 : over - tip.offsetWidth - 12)}px`;
}

// Arrow keys move the cursor, and a slider says its value by itself. Touch moves it, too, without
// keeping the page from being scrolled.
function bind(host, chart, spec, chosen) {
  const last = () => spec().lines[0].values.length - 1;
  Object.assign(host, { tabIndex: 0, role: "slider", ariaLabel: `${spec().title} by time` });
  host.ariaValueMin = "0";
  const show = (n) => {
    const u = chart();
    const at = Math.min(Math.max(n, 0), last());
    u.setCursor({ left: u.valToPos(slotStart(spec(), at), "x"), top: 0 });
    const values = readings(spec(), at).map((r) => `${r.label} ${r.text}${r.among ? ` (${r.among})` : ""}`);
    host.ariaValueMax = String(last());
    host.ariaValueNow = String(at);
    host.ariaValueText = `${when(spec(), at)}: ${values.join("; ")}`;
  };
  const hide = () => chart().setCursor({ left: -10, top: -10 });
  const focused = () => host.matches(":focus-visible") && show(chart().cursor.idx ?? last());
  const touched = (event) => {
    if (event.pointerType !== "touch") return;
    const box = chart().over.getBoundingClientRect();
    show(chart().posToIdx(event.clientX - box.left));
  };
  const pressed = (event) => {
    const now = chart().cursor.idx ?? last();
    const page = Math.max(1, Math.round(last() / 10));
    const to = {
      ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1,
      PageDown: now - page, PageUp: now + page, Home: 0, End: last(),
    }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) {
      if (event.key === "Escape") hide();
      return;
    }
    event.preventDefault();
    show(to);
  };
  const bound = { focus: focused, blur: hide, keydown: pressed, pointerdown: touched, pointermove: touched };
  for (const [name, run] of Object.entries(bound)) host.addEventListener(name, run);
  show(last());
  hide();
  return () => {
    for (const [name, run] of Object.entries(bound)) host.removeEventListener(name, run);
  };
}

// === Beside the chart ===

// A button for every line: pressed while it is drawn.
function legend(figure, spec, chart) {
  const text = UNITS[spec.unit];
  const items = spec.lines.map((line, i) => {
    const values = line.values.filter((value) => value !== null);
    const most = values.reduce((a, b) => Math.max(a, b), -Infinity);
    const parts = [];
    if (line.adds) parts.push(["total", text(values.reduce((a, b) => a + b, 0)), ""]);
    if (values.length > 0) {
      const at = when(spec, line.values.indexOf(most)).split(",")[0];
      parts.push(["peak", text(most), most > 0 ? ` at ${at}` : ""]);
    }
    const name = element("span", { class: "name" }, line.label);
    const look = { type: "button", class: "quiet small", "aria-pressed": "true" };
    const button = element("button", look, swatch(line.colour, line.dashed), name);
    button.disabled = spec.kind === "stack" || spec.lines.length < 2;
    button.addEventListener("click", () => {
      const shown = button.ariaPressed !== "true";
      button.ariaPressed = String(shown);
      chart().setSeries(i + 1, { show: shown });
    });
    const texts = parts.map(([what, value, behind]) =>
      element("span", {}, `${what} `, element("strong", {}, value), behind),
    );
    return element("li", {}, button, ...texts);
  });
  figure.querySelector("[data-legend]")?.replaceChildren(...items);
}
