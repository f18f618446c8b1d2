// The page "Statistics" with scripts: live charts, zoom, a granularity that follows the range, a list
// of domains that can be searched. What is shown is always what the server makes of the URL: a zoom
// asks it for another page and takes over its parts.
//
// Not here: charts (`chart.js`).

import { draw } from "./chart.js";
import { toast } from "./dialog.js";

const DAY = 86_400;
const NAMES = { 300: "5 minutes", 3600: "1 hour", 86_400: "1 day" };

// What the product offers for a range of so many seconds (`statistics::window::offered`).
function offered(seconds) {
  const days = Math.ceil(seconds / DAY);
  return days <= 3 ? [300, 3600] : days <= 31 ? [3600, DAY] : [DAY];
}

const $ = (selector, root = document) => root.querySelector(selector);

// === The form ===

// A time of the node, as an input has it, in seconds of UTC.
function read(input, offset) {
  const at = Date.parse(`${input.value}Z`);
  return Number.isNaN(at) ? null : at / 1000 - offset;
}

function follow(form) {
  const { from, to, interval } = form.elements;
  const offset = Number(form.dataset.offset);
  const change = () => {
    const [start, end] = [read(from, offset), read(to, offset)];
    if (start === null || end === null || end <= start) return;
    const steps = offered(end - start);
    const now = Number(interval.value);
    const chosen = steps.includes(now) ? now : steps[0];
    interval.replaceChildren(...steps.map((s) => new Option(NAMES[s], s, false, s === chosen)));
  };
  from.addEventListener("change", change);
  to.addEventListener("change", change);
}

function pick(details) {
  const search = $("[data-search]", details);
  const boxes = [...details.querySelectorAll("[type=checkbox]")];
  search.hidden = boxes.length < 2;
  search.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    for (const box of boxes) box.closest("li").hidden = !box.value.includes(wanted);
  });
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    const found = boxes.filter((box) => !box.closest("li").hidden);
    if (found.length > 0) found[0].click();
  });
  details.addEventListener("change", () => {
    const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
    const text = chosen.length === 1 ? chosen[0] : `${chosen.length} domains`;
    $("[data-shown]", details).textContent = chosen.length === 0 ? "All domains" : text;
  });
  details.addEventListener("toggle", () => details.open && !search.hidden && search.focus());
  details.addEventListener("focusout", ({ relatedTarget }) => {
    if (relatedTarget && !details.contains(relatedTarget)) details.open = false;
  });
  details.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !details.open) return;
    details.open = false;
    $("summary", details).focus();
  });
}

document.addEventListener("click", (event) => {
  const open = $("[data-picker][open]");
  if (open && !open.contains(event.target)) open.open = false;
});

// === Zoom ===

// The views before this one, the oldest first.
const before = [];
let drawn = [];

function address(from, to) {
  const url = new URL($("[data-charts]").dataset.url, location.href);
  const iso = (s) => new Date(s * 1000).toISOString().replace(".000Z", "Z");
  url.searchParams.set("from", iso(from));
  url.searchParams.set("to", iso(to));
  // As fine as it may be: that is what one zooms for.
  url.searchParams.set("interval", offered(to - from)[0]);
  url.searchParams.delete("range");
  url.searchParams.delete("page");
  return url;
}

// A page as the server makes it. Read by XMLHttpRequest: it takes HTML without any way for texts of
// it to become scripts.
function pageAt(url) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", url);
    request.responseType = "document";
    request.onload = () => {
      const made = request.response;
      // A session that is over: back here after signing in.
      if (made && $('form[action$="/sign-in"]', made)) return location.assign(url);
      return made && $("[data-charts]", made) ? resolve(made) : reject(new Error("no such view"));
    };
    request.onerror = () => reject(new Error("the edge cannot be reached"));
    request.send();
  });
}

// `earlier`: the views to go back to from there; those of now where it cannot be shown.
async function go(url, said, earlier) {
  const answer = $('[data-part="answer"]');
  if (answer.ariaBusy === "true") return;
  const kept = before.splice(0);
  before.push(...earlier);
  const focused = document.activeElement?.closest("[data-do]")?.dataset.do;
  answer.ariaBusy = "true";
  try {
    const made = await pageAt(url);
    for (const part of made.querySelectorAll("[data-part]")) {
      $(`[data-part="${part.dataset.part}"]`).replaceWith(document.adoptNode(part));
    }
    history.replaceState(null, "", $("[data-charts]").dataset.url);
    start();
    if (focused) ($(`[data-do="${focused}"]:not(:disabled)`) ?? $('[data-do="in"]')).focus();
    const form = $("#ask");
    const interval = form.elements.interval.selectedOptions[0].text;
    $("[data-said]").textContent =
      `${said}: ${form.elements.from.value} to ${form.elements.to.value}, slots of ${interval}.`;
  } catch (error) {
    before.splice(0, before.length, ...kept);
    answer.ariaBusy = "false";
    toast(`Not zoomed: ${error.message}.`, "bad");
  }
}

function zoom(from, to) {
  return go(address(from, to), "Zoomed", [...before, $("[data-charts]").dataset.url]);
}

const DO = {
  in: () => {
    const latest = drawn.reduce((a, b) => (b.looked() > a.looked() ? b : a));
    return zoom(...latest.range());
  },
  undo: () => go(before.at(-1), "Zoom undone", before.slice(0, -1)),
  reset: () => go(before[0], "Zoom reset", []),
};

// === Charts ===

function start() {
  const form = $("#ask");
  follow(form);
  pick($("[data-picker]", form));
  const charts = $("[data-charts]");
  for (const one of drawn.splice(0)) one.destroy();
  if (!charts) return;
  let slots = 0;
  for (const figure of charts.querySelectorAll("[data-chart]")) {
    const spec = JSON.parse(figure.dataset.chart);
    slots = spec.lines[0].values.length;
    drawn.push(draw(figure, spec, { chosen: zoom }));
  }
  const buttons = $("[data-zoom]", charts);
  buttons.hidden = slots === 0 && before.length === 0;
  for (const button of buttons.querySelectorAll("[data-do]")) {
    const way = button.dataset.do;
    button.disabled = way === "in" ? slots < 2 : before.length === 0;
    button.addEventListener("click", () => DO[way]());
  }
}

const copy = $("[data-copy-link]");
if (copy && navigator.clipboard) {
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    const charts = $("[data-charts]");
    try {
      await navigator.clipboard.writeText(new URL(charts.dataset.url, location.href).href);
      toast("Link copied.");
    } catch {
      toast("The browser does not let the link be copied: take the address of this page.", "bad");
    }
  });
}

start();
