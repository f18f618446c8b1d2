// The page at /console/statistics: real bytes and a known past (history.rs), by every filter, range
// and granularity, in figures, charts, tables, CSV and the API alike.
//
// Not here: what every page has in common (pages.mjs, security.mjs); how fast charts are drawn
// (loadtest/console/drawing.mjs).

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

import { bytes } from "../../src/control/console/assets/units.js";
import {
  allow, answered, axe, check, eventually, everyWidthAndTheme, fits, rest, ROLES, signIn, stage, tabTo,
} from "./browser.mjs";
import { ask, connect } from "./traffic.mjs";

const DAY = 86_400;
const TODAY = Math.floor(Date.now() / 1000 / DAY) * DAY;
const VIEWS = ["traffic", "codes", "connections", "messages", "times"];
// As history.rs has them: domain, region, provider, how much.
const PLACES = [
  ["live.example.com", "beijing", "unicom", 9],
  ["live.example.com", "guangdong", "telecom", 7],
  ["live.example.com", "shanghai", "telecom", 5],
  ["live.example.com", "beijing", "mobile", 3],
  ["live.example.com", "us", "unknown", 1],
  ["chat.example.com", "guangdong", "telecom", 4],
  ["chat.example.com", "zhejiang", "mobile", 2],
  ["chat.example.com", "gb", "unknown", 1],
];
const HOURS = [20, 26, 30, 32, 34, 33, 35, 38, 40, 42, 44, 52, 60, 66, 62, 48, 30, 18, 12, 8, 6, 6, 9, 14];
const WEEK = [10, 11, 14, 13, 9, 9, 10];

const stamp = (s) => new Date(s * 1000).toISOString().replace(".000Z", "Z");
const sum = (list) => list.reduce((a, b) => a + b, 0);

// Bytes to clients in [from, to), which is in the past, on hours.
function past(from, to, fits = () => true) {
  let all = 0;
  for (let at = from; at < to; at += 3600) {
    const busy = HOURS[(at / 3600) % 24] * WEEK[Math.floor(at / DAY) % 7];
    all += 12 * busy * 1000 * sum(PLACES.filter(fits).map(([, , , weight]) => weight));
  }
  return all;
}

function url(from, to, more = {}) {
  return `/statistics?${new URLSearchParams({ from: stamp(from), to: stamp(to), ...more })}`;
}

// What the charts of a page are drawn from.
async function specs(page) {
  const figures = await page.locator("[data-chart]").all();
  return Promise.all(figures.map(async (f) => JSON.parse(await f.getAttribute("data-chart"))));
}

const figureOf = (page, label) => page.locator(".figure", { hasText: label });
const granularities = (page) => page.getByLabel("Granularity").locator("option").allTextContents();

// The rows of the CSV that a link leads to, by its columns; and the name of the file.
async function csv(page, name) {
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("link", { name }).click(),
  ]);
  const text = await readFile(await download.path(), "utf8");
  const [head, ...rows] = text.trim().split("\r\n").map((line) => line.split(","));
  const column = (field) => rows.map((row) => Number(row[head.indexOf(field)]));
  return { file: download.suggestedFilename(), rows, column };
}

check("bytes of real clients are the same on the page, in the CSV and in the API", async () => {
  const before = await sent();
  const seen = { out: 0, in: 0 };
  for (let i = 0; i < 3; i++) {
    const client = await connect("chat.example.com");
    const socket = client.socket._socket;
    await client.says("send 100000");
    await client.says("a line of text");
    await client.close();
    seen.out += socket.bytesRead;
    seen.in += socket.bytesWritten;
  }
  assert.ok(seen.out > 300_000, JSON.stringify(seen));
  assert.equal((await connect("chat.example.com", { path: "/status/403" })).status, 403);
  const now = Math.floor(Date.now() / 1000);
  const asked = { domain: "chat.example.com", interval: "300" };
  const total = await eventually("all is counted", async () => {
    const now = await sent();
    return now.in >= before.in + seen.in && now.codes === before.codes + 4 && now;
  });
  // The answer to the client that was refused counts, too.
  assert.ok(total.out - before.out - seen.out > 0 && total.out - before.out - seen.out < 300);

  const page = await (await signIn("read")).page(url(TODAY, now + 300, asked));
  const [, traffic] = await specs(page);
  assert.equal(sum(traffic.lines[0].values.map(Number)), total.out);
  assert.equal(sum(traffic.lines[1].values.map(Number)), total.in);
  const shown = await figureOf(page, "Traffic: to clients").textContent();
  assert.ok(shown.replace(/\s+/g, " ").includes(bytes(total.out)), shown);
  const table = await csv(page, "CSV of traffic");
  assert.equal(sum(table.column("bytes_out")), total.out);
  assert.equal(sum(table.column("bytes_in")), total.in);
  assert.match(table.file, /^hawser-traffic-chat\.example\.com-\d{8}T\d{4}Z-\d{8}T\d{4}Z-5minutes\.csv$/);
  await answered(page, page.getByRole("link", { name: "HTTP codes" }));
  const share = page.getByRole("table", { name: "Share by code" });
  assert.equal(await share.getByRole("row", { name: /^403/ }).count(), 1);
});

// Of chat.example.com today, by the API.
async function sent() {
  const range = `start=${stamp(TODAY)}&end=${stamp(TODAY + DAY)}&domain=chat.example.com&interval=300`;
  const traffic = await rest().read(`/statistics/traffic?${range}`);
  const codes = await rest().read(`/statistics/http-codes?${range}`);
  const all = (field) => sum(traffic.items.map((item) => item[field]));
  const answers = sum(codes.items.flatMap((item) => item.codes.map((code) => code.count)));
  return { out: all("bytes_out"), in: all("bytes_in"), codes: answers };
}

check("granularities are those of the product's table, on the page and by URL", async () => {
  const someone = await signIn("read");
  const end = TODAY;
  for (const [range, offered] of [
    [DAY, ["5 minutes", "1 hour"]],
    [3 * DAY, ["5 minutes", "1 hour"]],
    [3 * DAY + 1, ["1 hour", "1 day"]],
    [4 * DAY, ["1 hour", "1 day"]],
    [31 * DAY, ["1 hour", "1 day"]],
    [32 * DAY, ["1 day"]],
    [93 * DAY, ["1 day"]],
  ]) {
    for (const [interval, name] of [[300, "5 minutes"], [3600, "1 hour"], [DAY, "1 day"]]) {
      const fits = offered.includes(name);
      const below = url(end - range, end, { interval });
      const page = await someone.page(below, { allowed: fits ? [] : [400] });
      assert.deepEqual(await granularities(page), offered, below);
      if (fits) {
        const [spec] = await specs(page);
        assert.equal(spec.step, interval, below);
        // The answer of the API has the same slots.
        const { items } = await rest().read(
          `/statistics/traffic?start=${stamp(end - range)}&end=${stamp(end)}&interval=${interval}`,
        );
        assert.equal(spec.lines[0].values.length, items.length, below);
      } else {
        const field = page.getByLabel("Granularity");
        assert.equal(await field.getAttribute("aria-invalid"), "true");
        const said = await page.locator("#f-interval-wrong").textContent();
        assert.ok(said.includes(`${name} is not offered`), said);
        assert.ok(said.includes(`accepted: ${offered.join(" or ")}`), said);
      }
      await page.close();
    }
  }
});

check("with scripts the granularity follows the range before it is asked", async () => {
  const page = await (await signIn("read")).page("/statistics");
  for (const [from, to, offered] of [
    ["2026-11-01T00:00", "2026-11-04T00:00", ["5 minutes", "1 hour"]],
    ["2026-11-01T00:00", "2026-11-04T00:01", ["1 hour", "1 day"]],
    ["2026-10-01T00:00", "2026-11-01T00:01", ["1 day"]],
  ]) {
    await page.getByLabel("From").fill(from);
    await page.getByLabel("To", { exact: true }).fill(to);
    assert.deepEqual(await granularities(page), offered, `${from} ${to}`);
  }
});

check("what is wrong stands at its field with what would be accepted", async () => {
  const someone = await signIn("read");
  const now = Math.floor(Date.now() / 1000);
  for (const [query, field, said] of [
    [{ from: "nonsense", to: stamp(now) }, "from", /"nonsense" is not a time; accepted: a time such as/],
    [{ from: stamp(now - 60) }, "to", /it is missing; accepted: a time/],
    [{ from: stamp(now - 60), to: stamp(now - 120) }, "to", /is not after the start; accepted: a time after/],
    [{ from: stamp(now - 93 * DAY - 1), to: stamp(now) }, "from", /a range of 93 d 1 s; accepted: three months/],
    [{ from: stamp(now + 3600), to: stamp(now + 7200) }, "from", /has not come yet; accepted: a time before/],
    [{ interval: "60" }, "interval", /"60" is no granularity; accepted: 5 minutes or 1 hour/],
    [{ region: "atlantis" }, "region", /no statistics of "atlantis"; accepted: /],
    [{ isp: "<b>" }, "isp", /no statistics of "<b>"; accepted: /],
  ]) {
    const page = await someone.page(`/statistics?${new URLSearchParams(query)}`, { allowed: [400] });
    assert.match(await page.locator(`#f-${field}-wrong`).textContent(), said);
    const input = page.locator(`#f-${field}`);
    assert.equal(await input.getAttribute("aria-invalid"), "true");
    // A list keeps only what it has.
    if (field !== "interval" && query[field]) assert.equal(await input.inputValue(), query[field]);
    await axe(page);
    await page.close();
  }
  const page = await someone.page("/statistics?domain=nobody.example.com", { allowed: [400] });
  const said = await page.locator("#domains-wrong").textContent();
  assert.match(said, /no statistics of "nobody\.example\.com"; accepted: .*live\.example\.com/);
});

check("filters by domain, region and provider add up to what there was", async () => {
  const page = await (await signIn("read")).page(url(TODAY - 2 * DAY, TODAY - DAY, { interval: 3600 }));
  const total = async () => sum((await specs(page))[1].lines[0].values);
  const day = [TODAY - 2 * DAY, TODAY - DAY];
  assert.equal(await total(), past(...day));

  await page.locator("[data-picker] summary").click();
  await page.getByRole("searchbox", { name: "Find a domain" }).fill("chat");
  assert.equal(await page.getByRole("checkbox", { name: "live.example.com" }).count(), 0);
  await page.getByRole("checkbox", { name: "chat.example.com" }).check();
  await page.getByRole("button", { name: "Apply domains" }).click();
  await page.waitForURL(/domain=chat\.example\.com/);
  assert.equal(await total(), past(...day, ([domain]) => domain === "chat.example.com"));

  await page.locator("[data-picker] summary").click();
  await page.getByRole("checkbox", { name: "live.example.com" }).check();
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("[data-picker][open]").count(), 0);
  await page.getByLabel("Region", { exact: true }).selectOption("guangdong");
  await page.getByLabel("Provider", { exact: true }).selectOption("telecom");
  await page.getByRole("button", { name: "Apply", exact: true }).click();
  await page.waitForURL(/isp=telecom/);
  assert.equal(await total(), past(...day, ([, region, isp]) => region === "guangdong" && isp === "telecom"));
  assert.match(await page.locator("[data-shown]").textContent(), /^2 domains$/);
});

check("the tables of places and domains have the whole of the range", async () => {
  const page = await (await signIn("read")).page(url(TODAY - 7 * DAY, TODAY, { interval: 3600 }));
  const range = [TODAY - 7 * DAY, TODAY];
  const heat = page.getByRole("table", { name: "Traffic by region and provider" });
  const rows = await heat.getByRole("row").allTextContents();
  // The largest region first; names in both languages.
  assert.match(rows[1], /^beijing 北京市/);
  const cell = past(...range, ([, region, isp]) => region === "beijing" && isp === "unicom");
  assert.ok(rows[1].includes(bytes(cell)), rows[1]);
  assert.ok(rows.at(-1).includes(bytes(past(...range))), rows.at(-1));
  const top = page.getByRole("table", { name: "Domains with the most traffic" });
  const first = top.getByRole("row").nth(1);
  const live = past(...range, ([domain]) => domain === "live.example.com");
  assert.ok((await first.textContent()).includes(bytes(live)));
  await first.getByRole("link", { name: "live.example.com" }).click();
  await page.waitForURL(/domain=live\.example\.com/);
  assert.equal(sum((await specs(page))[1].lines[0].values), live);
});

check("places and domains have just the slots of the charts, at the edge of a granularity too", async () => {
  // 31 days, but one hour more of slots, so that the API would choose days for it.
  const [from, to] = [TODAY - 31 * DAY - 1800, TODAY - 1800];
  const page = await (await signIn("read")).page(url(from, to, { interval: 3600 }));
  const all = past(TODAY - 31 * DAY - 3600, TODAY);
  assert.equal(sum((await specs(page))[1].lines[0].values), all);
  const heat = page.getByRole("table", { name: "Traffic by region and provider" });
  assert.ok((await heat.getByRole("row").last().textContent()).includes(bytes(all)));
  const range = `start=${stamp(TODAY - 31 * DAY - 3600)}&end=${stamp(TODAY)}`;
  for (const what of ["places?", "top?by=domain&"]) {
    assert.equal((await rest().read(`/statistics/${what}${range}`)).bytes_out, all, what);
  }
});

check("a preset leads to a link that shows the same to anybody at any time", async () => {
  const someone = await signIn("read");
  await someone.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = await someone.page("/statistics?view=codes");
  for (const [name, step] of [
    ["Last hour", 300], ["Today", 300], ["Yesterday", 300], ["3 days", 300],
    ["7 days", 3600], ["30 days", 3600], ["3 months", DAY],
  ]) {
    await page.getByRole("button", { name, exact: true }).click();
    await page.waitForURL(/from=.*Z&to=.*Z/);
    const pressed = page.getByRole("button", { name, exact: true });
    await eventually("pressed", async () => (await pressed.getAttribute("aria-pressed")) === "true");
    const [spec] = await specs(page);
    if (spec) assert.ok(spec.step >= step, `${name}: ${spec.step}`);
  }
  await page.getByRole("button", { name: "Copy link" }).click();
  await page.getByRole("status").getByText("Link copied.").waitFor();
  const link = await page.evaluate(() => navigator.clipboard.readText());
  assert.equal(new URL(link).searchParams.get("view"), "codes");
  const other = await (await signIn("operate")).page(link.slice(`${stage.url}/console`.length));
  const values = (page) => page.getByRole("table", { name: "Values by slot" }).textContent();
  assert.equal(await values(other), await values(page));
});

check("a drag zooms, finer where the range allows it, and can be undone", async () => {
  const page = await (await signIn("read")).page(url(TODAY - 30 * DAY, TODAY, { interval: DAY }));
  const start = page.url();
  const plot = page.locator(".u-over").first();
  const box = await plot.boundingBox();
  const drag = async (from, to) => {
    await page.mouse.move(box.x + from * box.width, box.y + 60);
    await page.mouse.down();
    await page.mouse.move(box.x + to * box.width, box.y + 60, { steps: 4 });
    await page.mouse.up();
  };
  await drag(0.1, 0.3);
  await page.waitForURL((url) => url.href !== start);
  const zoomed = page.url();
  const [spec] = await specs(page);
  assert.equal(spec.step, 3600);
  const { from, to } = Object.fromEntries(new URL(zoomed).searchParams);
  // On starts of the slots that were dragged over.
  assert.equal((Date.parse(from) / 1000 - (TODAY - 30 * DAY) - 16 * 3600) % DAY, 0);
  assert.deepEqual(await granularities(page), ["1 hour", "1 day"]);
  assert.match(await page.locator("[data-said]").textContent(), /^Zoomed: .* slots of 1 hour\.$/);
  assert.equal(sum((await specs(page))[1].lines[0].values), past(Date.parse(from) / 1000, Date.parse(to) / 1000));

  await drag(0.4, 0.5);
  await page.waitForURL((url) => url.href !== zoomed);
  assert.equal((await specs(page))[0].step, 300);
  await page.getByRole("button", { name: "Undo zoom" }).click();
  await page.waitForURL(zoomed);
  await page.getByRole("button", { name: "Reset zoom" }).click();
  await page.waitForURL((url) => url.searchParams.get("interval") === String(DAY));
  assert.ok(await page.getByRole("button", { name: "Undo zoom" }).isDisabled());
  await page.reload();
  assert.equal((await specs(page))[0].step, DAY);
});

check("all of it works by keyboard", async () => {
  const page = await (await signIn("read")).page(url(TODAY - DAY, TODAY, { interval: 3600 }));
  const chart = page.getByRole("slider", { name: "Traffic by time" });
  await tabTo(page, chart);
  const value = () => chart.getAttribute("aria-valuetext");
  await page.keyboard.press("Home");
  assert.match(await value(), /^\d{4}-\d\d-\d\d \d\d:00: To clients .*B; From clients .*B$/);
  const first = await value();
  await page.keyboard.press("ArrowRight");
  assert.notEqual(await value(), first);
  assert.equal(await chart.getAttribute("aria-valuenow"), "1");
  assert.ok(await page.locator(".tip:visible").first().isVisible());
  await page.keyboard.press("End");
  assert.equal(await chart.getAttribute("aria-valuenow"), await chart.getAttribute("aria-valuemax"));
  await page.keyboard.press("Escape");
  assert.equal(await page.locator(".tip:visible").count(), 0);
  const zoom = page.getByRole("button", { name: "Zoom in" });
  await zoom.focus();
  const before = page.url();
  await page.keyboard.press("Enter");
  await page.waitForURL((url) => url.href !== before);
  await eventually("the focus stays", () => page.evaluate(() => document.activeElement?.dataset.do === "in"));
  // Enter in a field asks for just that, not for a preset.
  await page.getByLabel("To", { exact: true }).press("Enter");
  await page.waitForURL((url) => url.searchParams.get("interval") === "300");
  assert.equal(new URL(page.url()).searchParams.has("range"), false);
});

check("the cursor tells values with units, and of codes what they are made of", async () => {
  const page = await (await signIn("read")).page(url(TODAY - DAY, TODAY, { view: "codes", interval: 3600 }));
  const plot = page.locator(".u-over").first();
  const box = await plot.boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + 80);
  const tip = page.locator(".tip");
  await eventually("the tip", () => tip.isVisible());
  assert.match(await tip.textContent(), /4xx refused[\d,]+.*404: [\d,]+/);
  assert.match(await tip.textContent(), /1xx switched[\d,]+101: [\d,]+/);
});

check("without scripts there are figures, drawings, values and the form", async () => {
  const someone = await signIn("read", { scripts: false });
  for (const view of VIEWS) {
    const page = await someone.page(url(TODAY - DAY, TODAY, { view, interval: 3600 }));
    assert.ok((await page.locator("figure.chart svg[role=img] path").count()) > 0, view);
    assert.equal(await page.getByRole("table", { name: "Values by slot" }).getByRole("row").count(), 25, view);
    assert.ok((await page.locator(".figure").count()) > 0, view);
    await page.close();
  }
  const page = await someone.page("/statistics");
  await answered(page, page.getByRole("button", { name: "7 days" }));
  assert.deepEqual(await granularities(page), ["1 hour", "1 day"]);
  await page.getByLabel("Granularity").selectOption("1 day");
  await page.getByRole("button", { name: "Apply", exact: true }).click();
  assert.equal(new URL(page.url()).searchParams.get("interval"), String(DAY));
  const long = await someone.page(url(TODAY - 3 * DAY, TODAY, { interval: 300 }));
  await answered(long, long.getByRole("link", { name: "Next" }));
  assert.match(await long.locator("nav.pager").textContent(), /Slots 51 to 100 of 864/);
});

check("every role sees it", async () => {
  await ask("live.example.com");
  for (const role of ROLES) {
    const page = await (await signIn(role)).page("/statistics");
    await page.getByRole("heading", { name: "Statistics", level: 1 }).waitFor();
    allow(page);
  }
});

check("charts take the colours of the theme and the width of the page", async () => {
  const page = await (await signIn("read")).page(url(TODAY - DAY, TODAY, { interval: 3600 }));
  const canvas = page.locator("canvas").first();
  const drawn = () => canvas.evaluate((element) => element.toDataURL());
  const [light, width] = [await drawn(), await canvas.evaluate((element) => element.width)];
  await page.emulateMedia({ colorScheme: "dark" });
  await eventually("other colours", async () => (await drawn()) !== light);
  await page.setViewportSize({ width: 700, height: 800 });
  await eventually("another width", () => canvas.evaluate((e, was) => e.width < was, width));
  await fits(page);
});

for (const view of VIEWS) {
  check(`${view}: it is sound in every width and theme`, async () => {
    await everyWidthAndTheme(await signIn("admin"), url(TODAY - 2 * DAY, TODAY, { view, interval: 3600 }));
  });
}
