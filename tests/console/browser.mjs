// What every script of the console's tests stands on: one browser per script, visitors with a
// session of each role, pages that are watched while they are open, and the questions that every
// page is asked. Elements are addressed by role and name; nothing sleeps.
//
// Not here: clients and origins (traffic.mjs), what a page should show (the page's own script).

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";

// What tests/console/stage.rs tells: see `told` there.
export const stage = JSON.parse(process.env.HAWSER_CONSOLE);
const require = createRequire(process.env.HAWSER_TEST_DEPS + "/node/");
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

export const THEMES = ["light", "dark"];
export const WIDTHS = [360, 1280, 2560];
export const ROLES = ["read", "operate", "admin"];

// Only a failure waits that long.
const PATIENCE_MS = 20_000;

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
after(() => browser.close());

// === Checks ===

// Of the check that runs: what went wrong by itself, and the pages that are open.
let complaints = [];
let open = [];

// One test. It fails with its own assertions, and with anything that a page complained about:
// errors in its console, requests that failed or were refused, requests to another host.
export function check(name, run) {
  return test(name, async () => {
    complaints = [];
    open = [];
    try {
      await run();
      assert.deepEqual(complaints, [], "a page complained");
    } catch (error) {
      await keepFailure(name);
      if (complaints.length > 0) error.message += `\ncomplaints: ${complaints.join("\n")}`;
      throw error;
    } finally {
      for (const page of open) await page.close();
    }
  });
}

async function keepFailure(name) {
  for (const [i, page] of open.entries()) {
    if (page.isClosed()) continue;
    const file = `failures/${stage.script}-${name.replace(/\W+/g, "-")}-${i}`;
    console.log(`open: ${page.url()}, see ${file}.png`);
    await screenshot(page, file).catch((error) => console.log(String(error)));
  }
}

// Answers with these statuses are what the check is about.
export function allow(page, ...statuses) {
  statuses.forEach((status) => page.allowed.add(status));
}

function watch(page) {
  page.allowed = new Set();
  // For a check that makes a page complain.
  let forgiven = false;
  page.forgive = () => (forgiven = true);
  const complain = (what) => !forgiven && complaints.push(`${page.url()}: ${what}`);
  page.on("console", (message) => {
    // What was refused is judged by its status.
    if (message.type() !== "error" || message.text().startsWith("Failed to load resource")) return;
    complain(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => complain(`exception: ${error.stack ?? error}`));
  page.on("crash", () => complain("crashed"));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol === "data:" || url.protocol === "blob:") return;
    if (url.origin !== stage.url) complain(`a request to ${url.origin}`);
  });
  page.on("requestfailed", (request) => {
    // Left by the page itself: a navigation, a stream that was closed, a download.
    if (request.failure()?.errorText === "net::ERR_ABORTED") return;
    complain(`${request.method()} ${request.url()}: ${request.failure()?.errorText}`);
  });
  page.on("response", (response) => {
    if (response.status() < 400 || page.allowed.has(response.status())) return;
    complain(`${response.request().method()} ${response.url()}: ${response.status()}`);
  });
  open.push(page);
  return page;
}

// Waits until `seen` returns (or resolves to) something true, or stops throwing.
export async function eventually(what, seen) {
  const started = Date.now();
  for (;;) {
    let last;
    try {
      last = await seen();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (Date.now() - started > PATIENCE_MS) {
      throw new Error(`not within ${PATIENCE_MS} ms: ${what} (last: ${last})`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// Presses a button or a link, and waits for the page that comes of it, its scripts included: a field
// that was refused before looks the same on the page that is about to go.
export async function answered(page, pressed) {
  await Promise.all([page.waitForNavigation(), pressed.click()]);
}

// === Visitors ===

// Somebody with a session, or, as `visitor()`, without one.
export class Visitor {
  constructor(context, cookie) {
    this.context = context;
    this.cookie = cookie;
  }

  // Opens a page below /console, such as "/domains". `allowed`: statuses that are expected.
  // `motion` is what the reader asked for: "no-preference" or "reduce".
  async page(below, { theme = "light", width = 1280, height = 800, motion = "no-preference", allowed = [] } = {}) {
    const page = watch(await this.context.newPage());
    allow(page, ...allowed);
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme: theme, reducedMotion: motion });
    await page.goto(`${stage.url}/console${below}`);
    return page;
  }

  // A bare request with the session's cookie; redirects are not followed. On a connection of its
  // own: the edge ends those that were kept for a minute, and a request on its way would be lost.
  async ask(method, target, { form, json, headers = {} } = {}) {
    const body = form ? new URLSearchParams(form) : json && JSON.stringify(json);
    const kind = json && { "Content-Type": "application/json" };
    const cookie = this.cookie && { Cookie: this.cookie };
    const options = { method, body, headers: { Connection: "close", ...kind, ...cookie, ...headers } };
    return fetch(stage.url + target, { ...options, redirect: "manual" });
  }

  // The token that forms of this session carry.
  async csrf() {
    const text = await (await this.ask("GET", "/console/")).text();
    return text.match(/<meta name="csrf" content="([^"]+)"/)[1];
  }
}

// Nobody in particular. `scripts: false` is a browser without JavaScript.
export async function visitor({ scripts = true } = {}) {
  const context = await browser.newContext({ javaScriptEnabled: scripts });
  context.setDefaultTimeout(PATIENCE_MS);
  return new Visitor(context, undefined);
}

// A visitor with a session of the key of this role.
export async function signIn(role, options) {
  const someone = await visitor(options);
  const form = { id: "", secret: stage.keys[role], next: "/console/" };
  const answer = await someone.ask("POST", "/console/sign-in", { form });
  assert.equal(answer.status, 303, `sign-in as ${role}`);
  someone.cookie = answer.headers.get("set-cookie").split(";")[0];
  const [name, value] = someone.cookie.split("=");
  await someone.context.addCookies([{ name, value, url: stage.url, httpOnly: true }]);
  return someone;
}

// === What every page is asked ===

// Nothing is as wide as to scroll the page sideways, once drawings took their size.
export async function fits(page) {
  const wide = () =>
    page.evaluate(() => {
      const root = document.documentElement;
      if (root.scrollWidth <= root.clientWidth) return [];
      const out = (e) => e.getBoundingClientRect().right > root.clientWidth + 0.5;
      const parts = [...document.querySelectorAll("body *")].filter(out);
      return [`${root.scrollWidth} px`, ...parts.slice(0, 5).map((e) => e.outerHTML.slice(0, 120))];
    });
  let seen = await wide();
  for (const started = Date.now(); seen.length > 0 && Date.now() - started < PATIENCE_MS; ) {
    await page.evaluate(() => new Promise(requestAnimationFrame));
    seen = await wide();
  }
  assert.deepEqual(seen, [], `${page.url()} is wider than ${page.viewportSize().width} px`);
}

// Accessibility by axe-core: nothing serious, nothing critical.
export async function axe(page) {
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    const { violations } = await window.axe.run(document, { resultTypes: ["violations"] });
    return violations;
  });
  const grave = found.filter(({ impact }) => impact === "serious" || impact === "critical");
  const words = grave.flatMap(({ id, nodes }) =>
    nodes.map((node) => `${id}: ${node.html.slice(0, 200)}: ${node.failureSummary}`),
  );
  assert.deepEqual(words, [], `axe on ${page.url()}`);
}

// The page in both themes at each width: it fits, axe finds nothing grave, and `look(page, { theme,
// width })` is content.
export async function everyWidthAndTheme(someone, below, look = async () => {}, options = {}) {
  for (const theme of THEMES) {
    for (const width of WIDTHS) {
      const page = await someone.page(below, { ...options, theme, width });
      await look(page, { theme, width });
      await fits(page);
      if (width !== 2560) await axe(page);
      await page.close();
    }
  }
}

// Every kind of page that links lead to from the overview, as this visitor sees it: `look(path,
// html)`. Of pages that differ in a name, an id or a query only, one is looked at.
export async function crawl(someone, look) {
  const kind = (path) => path.split("?")[0].replace(/[\w-]+\.example\.com|HK\w+|\b[0-9a-f]{16}\b|\b\d+\b/g, "*");
  const waiting = ["/"];
  const seen = new Set(waiting);
  while (waiting.length > 0) {
    const path = waiting.shift();
    const answer = await someone.ask("GET", `/console${path}`);
    if (!answer.headers.get("content-type")?.startsWith("text/html")) continue;
    assert.equal(answer.status, 200, `a link leads to ${path}`);
    const html = await answer.text();
    await look(path, html);
    // What scripts make rows of is no link yet.
    const shown = html.replace(/<template[^]*?<\/template>/g, "");
    for (const [, url] of shown.matchAll(/<a [^>]*href="\/console(\/[^"#]*)/g)) {
      const next = url.replaceAll("&amp;", "&");
      if (seen.has(kind(next))) continue;
      seen.add(kind(next));
      waiting.push(next);
    }
  }
}

// The whole page as `target/console-screenshots/NAME.png`.
export async function screenshot(page, name) {
  const file = path.join(stage.screenshots, `${name}.png`);
  mkdirSync(path.dirname(file), { recursive: true });
  await page.screenshot({ path: file, fullPage: true, animations: "disabled" });
}

const hasFocus = (locator) => locator.evaluate((element) => element === document.activeElement);

// It has the focus, or is given it: `autofocus` takes effect only as the page is drawn, which on a
// busy machine is after its load event.
export async function takesFocus(locator) {
  await eventually(`the focus is at ${locator}`, () => hasFocus(locator));
}

// Goes there as a keyboard does.
export async function tabTo(page, locator, presses = 100) {
  for (let i = 0; i < presses; i++) {
    if (await hasFocus(locator)) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`not reached with ${presses} times Tab: ${locator}`);
}

// === Beside the browser ===

// The REST API with the key of this role.
export function rest(role = "admin") {
  const someone = new Visitor(undefined, undefined);
  const headers = { Authorization: `Bearer ${stage.keys[role]}` };
  const send = async (method, below, json, more = {}) => {
    const options = { json, headers: { ...headers, ...more } };
    const answer = await someone.ask(method, `/api/v1${below}`, options);
    const text = await answer.text();
    const isJson = answer.headers.get("content-type")?.includes("json");
    return { status: answer.status, headers: answer.headers, body: isJson ? JSON.parse(text) : text };
  };
  const read = async (below) => {
    const { status, body } = await send("GET", below);
    assert.equal(status, 200, `GET ${below}: ${JSON.stringify(body)}`);
    return body;
  };
  return { send, read };
}

// A verb of the command line against this edge; its standard output.
export async function hawser(...words) {
  const { stdout } = await promisify(execFile)(stage.hawser, [...words, "-c", stage.config]);
  return stdout;
}
