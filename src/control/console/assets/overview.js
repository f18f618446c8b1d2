// Keeps the page "Overview" up to date, and draws what happens from now on. Rows are made from the
// templates that the page brings along; texts are those that `overview.rs` writes.
//
// Not here: the stream itself (live.js), figures as texts (units.js).

import { follow } from "./live.js";
import { bitsPerSecond, count, duration } from "./units.js";

const KEPT_S = 300;
const LEAST_S = 60;
const HEIGHT = 200;
const LOAD_NOTICE = 70;
const LOAD_BAD = 90;

const bits = (bytes) => bitsPerSecond(bytes * 8);

function rate(n) {
  if (n > 0 && n < 0.05) return "< 0.1 /s";
  return `${n > 0 && n < 9.95 ? n.toFixed(1) : count(Math.round(n))} /s`;
}

// Writes only what differs, so that nothing flickers and no selection is lost.
function write(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

// === Figures ===

function figure(name, text) {
  const value = document.querySelector(`[data-live="${name}"]`);
  const at = text.lastIndexOf(" ");
  if (value?.nextElementSibling?.className !== "unit" || at < 0) return write(value, text);
  write(value, text.slice(0, at));
  write(value.nextElementSibling, text.slice(at + 1));
}

function figures(now) {
  figure("connections", count(now.connections));
  figure("messages", rate(now.messages_out_per_s + now.messages_in_per_s));
  figure("out", bits(now.bytes_out_per_s));
  figure("in", bits(now.bytes_in_per_s));
  figure("handshakes", rate(now.handshakes_per_s));
  write(document.querySelector('[data-live="uptime"]'), duration(now.uptime_s * 1000));
  figure("generation", count(now.generation));
  for (const phase of document.querySelectorAll("[data-phase]")) {
    if (phase.textContent === now.phase) continue;
    phase.textContent = now.phase;
    phase.className = `state ${now.phase === "serving" ? "good" : "notice"}`;
  }
}

// === Lists ===

const LISTS = {
  domains: {
    key: (item) => item.domain,
    fill(cell, item) {
      const name = encodeURIComponent(item.domain);
      write(cell("name"), item.domain);
      cell("name").href = `/console/domains/${name}`;
      write(cell("connections"), count(item.connections));
      cell("connections").href = `/console/connections?domain=${name}`;
      write(cell("out"), bits(item.bytes_out_per_s));
      write(cell("in"), bits(item.bytes_in_per_s));
    },
  },
  codes: {
    key: (item) => item.code,
    fill(cell, item) {
      const [tone, text] = meaning(item.code);
      write(cell("name"), item.code);
      cell("meaning").className = `badge ${tone}`;
      write(cell("meaning"), text);
      counted(cell, item);
    },
  },
  causes: {
    key: (item) => item.cause,
    fill(cell, item) {
      const words = item.cause.replaceAll("_", " ").replace(/\b(eof|tls)\b/, (word) => word.toUpperCase());
      write(cell("name"), words.charAt(0).toUpperCase() + words.slice(1));
      counted(cell, item);
    },
  },
};

function counted(cell, item) {
  write(cell("count"), count(item.count));
  write(cell("now"), rate(item.per_s));
}

function meaning(code) {
  if (code === "101") return ["good", "opened"];
  return { 4: ["notice", "refused"], 5: ["bad", "failed"] }[code[0]] ?? ["plain", "not upgraded"];
}

function list(name, items) {
  const card = document.querySelector(`[data-list="${name}"]`);
  const { key, fill } = LISTS[name];
  const body = card.querySelector("tbody");
  const rows = new Map(Array.from(body.rows, (row) => [row.dataset.key, row]));
  const wanted = items.map((item) => {
    const row = rows.get(key(item)) ?? card.querySelector("template").content.firstElementChild.cloneNode(true);
    row.dataset.key = key(item);
    rows.delete(key(item));
    fill((cell) => row.querySelector(`[data-cell="${cell}"]`), item);
    return row;
  });
  for (const row of rows.values()) row.remove();
  // Nothing moves away under a pointer or a focus.
  const held = body.matches(":hover, :focus-within");
  wanted.forEach((row, at) => {
    if (body.rows[at] !== row && (!held || !row.isConnected)) body.insertBefore(row, body.rows[at] ?? null);
  });
  card.querySelector("[data-rows]").hidden = items.length === 0;
  card.querySelector("[data-empty]").hidden = items.length > 0;
}

function cores(all) {
  const items = document.querySelectorAll("[data-cores] > li");
  all.forEach(({ load_percent: load, connections }, i) => {
    const item = items[i];
    if (!item) return;
    const text = load === null ? "no answer" : `${load.toFixed(1)} %`;
    const tone = load >= LOAD_BAD ? "bad" : load >= LOAD_NOTICE ? "notice" : "plain";
    write(item.querySelector('[data-cell="load"]'), text);
    write(item.querySelector('[data-cell="connections"]'), `${count(connections)} connection${connections === 1 ? "" : "s"}`);
    const meter = item.querySelector("svg.meter");
    meter.setAttribute("class", `meter ${tone}`);
    meter.setAttribute("aria-label", `Core ${i}: ${text}`);
    meter.querySelector(".fill").setAttribute("width", load ?? 0);
  });
}

// === Second by second ===

// What can be drawn: texts of values, the least that a scale reaches to, and lines with a label, a
// colour and their value.
const TO = "To clients";
const FROM = "From clients";
const DRAWN = {
  bandwidth: {
    text: bitsPerSecond,
    least: 1000,
    lines: [
      [TO, "series-1", (now) => now.bytes_out_per_s * 8],
      [FROM, "series-2", (now) => now.bytes_in_per_s * 8],
    ],
  },
  messages: {
    text: rate,
    least: 10,
    lines: [
      [TO, "series-1", (now) => now.messages_out_per_s],
      [FROM, "series-2", (now) => now.messages_in_per_s],
    ],
  },
  connections: {
    text: (n) => count(Math.round(n)),
    least: 10,
    lines: [["Open", "series-3", (now) => now.connections]],
  },
};

const card = document.getElementById("minutes");
const host = card.querySelector("[data-chart]");
const legend = card.querySelector("[data-legend]");
const still = matchMedia("(prefers-reduced-motion: reduce)");
const kept = [];
let drawn = "bandwidth";
let chart = null;
card.hidden = typeof uPlot === "undefined";

// As the theme has it now.
function colour(name) {
  host.style.color = `var(--${name})`;
  const { color } = getComputedStyle(host);
  host.style.color = "";
  return color;
}

function ago(seconds) {
  if (seconds === 0) return "now";
  return seconds % 60 === 0 ? `${seconds / 60} min ago` : `${seconds} s ago`;
}

function times() {
  const last = kept.at(-1).time;
  const span = Math.min(KEPT_S, Math.max(LEAST_S, last - kept[0].time));
  return { last, span };
}

function columns() {
  const { last } = times();
  const lines = DRAWN[drawn].lines.map(([, , value]) => kept.map(value));
  return [kept.map(({ time }) => time - last), ...lines];
}

function build() {
  chart?.destroy();
  const { text, least, lines } = DRAWN[drawn];
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { stroke: colour("soft"), font, ticks: { show: false }, grid: { stroke: colour("grid"), width: 1 } };
  // Few marks, each on a round number of seconds.
  const splits = () => {
    const step = host.clientWidth < 480 || times().span > 120 ? 60 : 15;
    return Array.from({ length: Math.floor(times().span / step) + 1 }, (_, i) => -i * step).reverse();
  };
  chart = new uPlot(
    {
      width: Math.max(host.clientWidth, 120),
      height: HEIGHT,
      legend: { show: false },
      padding: [12, 24, 0, 0],
      scales: {
        x: { time: false, range: () => [-times().span, 0] },
        y: { range: (_, __, most) => [0, Math.max(most * 1.1, least)] },
      },
      axes: [
        { ...axis, size: 36, gap: 10, splits, values: (_, at) => at.map((s) => ago(-s)) },
        { ...axis, size: 84, values: (_, at) => at.map(text) },
      ],
      series: [
        {},
        ...lines.map(([label, name]) => ({ label, stroke: colour(name), width: 1.75, points: { show: false } })),
      ],
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 8 } },
      hooks: { setCursor: [read] },
    },
    columns(),
    host,
  );
  legend.replaceChildren(...lines.map(([label], i) => {
    const item = document.createElement("li");
    const swatch = Object.assign(document.createElement("span"), { className: `swatch ${lines[i][1].replace("series-", "s")}` });
    item.append(swatch, ` ${label} `, document.createElement("strong"));
    return item;
  }));
}

// The values at the cursor, or the newest.
function read(u) {
  const { text, lines } = DRAWN[drawn];
  const at = u.cursor.idx ?? kept.length - 1;
  const now = kept[at];
  if (!now) return;
  const { last } = times();
  const when = at === kept.length - 1 ? "" : `, ${ago(Math.round(last - now.time))}`;
  lines.forEach(([, , value], i) => {
    write(legend.children[i]?.querySelector("strong"), text(value(now)) + when);
  });
}

function draw(now) {
  if (card.hidden) return;
  const time = Math.round(Date.parse(now.at) / 1000);
  // The clock of the node was set back.
  if (kept.at(-1)?.time > time) kept.length = 0;
  // The same look again, of a node in another phase.
  if (kept.at(-1)?.time === time) kept.pop();
  kept.push({ ...now, time });
  while (kept.at(-1).time - kept[0].time > KEPT_S) kept.shift();
  if (!chart) build();
  else if (!still.matches || now.number % 5 === 0) chart.setData(columns());
  read(chart);
  const { text, lines } = DRAWN[drawn];
  const newest = lines.map(([label, , value]) => `${label.toLowerCase()} ${text(value(now))}`).join(", ");
  const peak = text(Math.max(...lines.flatMap(([, , value]) => kept.map(value))));
  host.setAttribute("aria-label", `Since this page was opened, ${drawn}: now ${newest}; peak ${peak}`);
}

for (const button of card.querySelectorAll("[data-draw]")) {
  button.addEventListener("click", () => {
    drawn = button.dataset.draw;
    for (const other of card.querySelectorAll("[data-draw]")) other.ariaPressed = String(other === button);
    build();
    read(chart);
  });
}
const rebuild = () => chart && (build(), read(chart));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", rebuild);
new ResizeObserver(() => {
  const width = host.clientWidth;
  if (chart && width > 0 && width !== chart.width) chart.setSize({ width, height: HEIGHT });
}).observe(host);

follow("/live/events", (now) => {
  document.querySelector("[data-averaged]").hidden = true;
  figures(now);
  list("domains", now.domains);
  list("codes", now.handshakes);
  list("causes", now.closes);
  cores(now.cores);
  draw(now);
});
