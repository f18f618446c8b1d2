// Live connections: keeps the list, the details of one and the progress of a closing up to date,
// without taking focus, selection or scroll away. Not here: forms, which the server answers.

import { toast } from "./dialog.js";
import { api, Refused } from "./rest.js";
import { bytes, count, duration } from "./units.js";

const LIST_MS = 5_000;
// Cores look at each of their connections for a list.
const LARGE = 100_000;
const LARGE_MS = 30_000;
const ONE_MS = 2_000;
const PROGRESS_MS = 1_000;
const BACKGROUND = { background: true };

const pause = document.querySelector("[data-pause]");
let paused = false;

if (pause) {
  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Resume" : "Pause";
    say(paused ? "Paused: figures stand still." : "Figures move again.");
  });
}

const list = document.querySelector("[data-connections]");
const one = document.querySelector("[data-connection]");
const closing = document.querySelector("[data-closing]");
if (list) repeat(refreshList, LIST_MS);
if (one) repeat(refreshOne, ONE_MS);
if (closing) repeat(refreshProgress, PROGRESS_MS);

// Runs `step` again and again while the page is seen and not paused; it answers how long to wait
// for the next time, or false for never again.
function repeat(step, first) {
  const turn = async () => {
    let wait = first;
    if (!paused && !document.hidden) {
      try {
        wait = await step();
        if (wait === false) return;
        trouble("");
      } catch (error) {
        if (error instanceof Refused) trouble(`Figures stand still: ${error.message}`);
        else if (error instanceof TypeError) trouble("The edge does not answer; figures stand still.");
        else throw error;
      }
    }
    setTimeout(turn, wait);
  };
  setTimeout(turn, first);
}

// Says once what keeps figures from moving, and once that they move again.
let known = "";
function trouble(now) {
  if (now === known) return;
  known = now;
  if (now) toast(now, "bad");
  else toast("The edge answers again.");
}

function say(text) {
  const line = document.querySelector("[data-said]") ?? document.querySelector("[data-ended]");
  if (line) line.textContent = text;
}

// Only what differs is written, so that selections stay.
function write(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

// === The list ===

async function refreshList() {
  const answer = await api(`/connections?${list.dataset.connections}`, BACKGROUND);
  if (paused || isSelected(list)) return LIST_MS;
  const body = list.querySelector("tbody");
  const known = new Map([...body.rows].map((row) => [row.dataset.id, row]));
  const rows = answer.items.map((item) => fill(known.get(item.id) ?? blank(), item));
  // Whoever points at a row or has it in focus finds it where it was.
  const held = body.matches(":hover") || body.contains(document.activeElement);
  const kept = new Set(rows);
  for (const row of body.rows) row.toggleAttribute("data-gone", !kept.has(row));
  if (!held) body.replaceChildren(...rows);
  write(list.querySelector("[data-count]"), counted(answer));
  const none = rows.length === 0 && !held;
  list.querySelector("[data-some]").hidden = none;
  list.querySelector("[data-none]").hidden = !none;
  return answer.matched > LARGE ? LARGE_MS : LIST_MS;
}

function isSelected(within) {
  const selection = getSelection();
  return !selection.isCollapsed && within.contains(selection.anchorNode);
}

function blank() {
  return list.querySelector("template[data-line]").content.firstElementChild.cloneNode(true);
}

function fill(row, item) {
  row.dataset.id = item.id;
  const cell = (name) => row.querySelector(`[data-cell="${name}"]`);
  const texts = {
    client: item.client,
    place: `${item.region} · ${item.isp}`,
    domain: item.domain,
    origin: item.origin,
    ...figures(item),
  };
  for (const [name, text] of Object.entries(texts)) write(cell(name), text);
  cell("client").setAttribute("href", `/console/connections/${item.id}`);
  badge(cell("state"), item.state);
  return row;
}

function figures(item) {
  return {
    age: duration(item.age_ms),
    idle: duration(item.idle_ms),
    bytes_out: bytes(item.bytes_out),
    bytes_in: bytes(item.bytes_in),
    messages_out: count(item.messages_out),
    messages_in: count(item.messages_in),
  };
}

function badge(element, state) {
  write(element, state.replace("_", " "));
  element.classList.toggle("good", state === "open");
  element.classList.toggle("notice", state !== "open");
}

function counted({ items, matched }) {
  if (matched === 0) return "None match";
  if (matched === 1) return "1 connection";
  if (items.length === matched) return `${count(matched)} connections`;
  return `${count(matched)} connections match, the first ${count(items.length)} are shown: filter more`;
}

// === One connection ===

async function refreshOne() {
  const id = one.dataset.connection;
  let item;
  try {
    item = await api(`/connections/${id}`, BACKGROUND);
  } catch (error) {
    if (error instanceof Refused && error.problem.status === 404) return ended(id);
    throw error;
  }
  const texts = figures(item);
  for (const side of ["client", "origin"]) {
    const leg = item[`${side}_leg`];
    const us = item[`${side}_rtt_us`];
    texts[`${side}_rtt`] = us === null ? "none yet: heartbeats measure it" : `${(us / 1000).toFixed(2)} ms`;
    texts[`${side}_heard`] = `${duration(leg.idle_ms)} ago`;
    texts[`${side}_frame`] = frame(leg.last_frame);
    texts[`${side}_close`] = handshake(leg);
    texts[`${side}_stream`] = STREAMS[leg.stream] ?? leg.stream;
  }
  for (const [name, text] of Object.entries(texts)) {
    write(one.querySelector(`[data-live="${name}"]`), text);
  }
  badge(document.querySelector('.heading [data-cell="state"]'), item.state);
  return ONE_MS;
}

function frame(last) {
  if (last === null) return "none yet";
  const rest = last.missing_bytes > 0 ? `, ${bytes(last.missing_bytes)} to come` : "";
  return `${last.opcode}, ${bytes(last.bytes)}${rest}`;
}

function handshake(leg) {
  const code = leg.close_code === null ? "without a code" : `code ${leg.close_code}`;
  if (leg.close === "none") return "not begun";
  if (leg.close === "sent") return "Close sent to it, no answer yet";
  if (leg.close === "received") return `Close came from it, ${code}`;
  return `done: Close both ways, ${code} from it`;
}

const STREAMS = {
  open: "open both ways",
  fin_sent: "ended towards it (FIN sent)",
  fin_received: "ended by it (FIN received)",
  closed: "ended both ways",
  failed: "failed: reset, or given up",
};

// The last figures stay; above them stands why it ended.
async function ended(id) {
  const state = document.querySelector('.heading [data-cell="state"]');
  write(state, "ended");
  state.classList.remove("good", "notice");
  if (pause) pause.hidden = true;
  const why = document.createTextNode("");
  const line = document.createElement("div");
  line.className = "banner notice";
  const text = document.createElement("p");
  const link = document.createElement("a");
  link.href = location.pathname;
  link.textContent = "Show its end";
  text.append("This connection has ended. ", why, link);
  line.append(text);
  document.querySelector("[data-ended]").replaceChildren(line);
  for (const control of document.querySelectorAll("main form :is(input, button)")) {
    control.disabled = true;
  }
  why.data = await reason(id);
  return false;
}

// What just ended is known after a look at the cores' events, on a busy node a little later.
async function reason(id) {
  for (const wait of [250, 500, 1000, 2000]) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    const end = await api(`/connections/${id}/end`).catch(() => undefined);
    if (end) return `${end.detail} `;
  }
  return "";
}

// === A closing ===

async function refreshProgress() {
  let now;
  try {
    now = await api(`/connections/closings/${closing.dataset.closing}`, BACKGROUND);
  } catch (error) {
    if (!(error instanceof Refused && error.problem.status === 404)) throw error;
    toast("The edge does not know this closing any more: it was restarted.", "bad");
    return false;
  }
  closing.querySelector("progress").value = now.told;
  write(closing.querySelector("[data-told]"), told(now));
  if (now.state === "running") return PROGRESS_MS;
  say(told(now));
  const stop = closing.querySelector("[data-stop]");
  if (stop) stop.disabled = true;
  return false;
}

function told({ state, told, matched }) {
  const of = `${count(told)} of ${count(matched)} connections`;
  if (state === "running") return `${of} told to close.`;
  if (state === "stopped") return `Stopped: ${of} were told to close.`;
  return `Done: ${of} were told to close.`;
}
