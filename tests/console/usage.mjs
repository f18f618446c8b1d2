// The page at /console/usage: the plan, its change and the moment of it, the statement and its
// export. The checks follow each other: a plan is chosen once. Not here: what every page has in
// common (pages.mjs, security.mjs).

import assert from "node:assert/strict";
import { readFileSync, renameSync, writeFileSync } from "node:fs";

import {
  answered, axe, check, eventually, everyWidthAndTheme, fits, hawser, rest, screenshot, signIn, stage,
} from "./browser.mjs";
import { connect } from "./traffic.mjs";

const PATH = "/usage";
const CHARGE = "Billing method";
const WEBSOCKET = "WebSocket is charged";

// As the page writes it: in the offset of the node, which is the product's.
function moment(rfc3339) {
  const at = new Date(Date.parse(rfc3339) + 8 * 3_600_000).toISOString();
  return `${at.slice(0, 10)} ${at.slice(11, 19)} +08:00`;
}

// Moves the clock of the edge to some seconds behind a moment.
function pass(rfc3339) {
  const ahead = Math.ceil((Date.parse(rfc3339) - Date.now()) / 1000) + 5;
  // Replaced as a whole: it is read at every look at the clock.
  writeFileSync(`${stage.clock}.fresh`, `+${ahead}\n`);
  renameSync(`${stage.clock}.fresh`, stage.clock);
}

const number = (text) => Number(text.replace(/[^0-9.-]/g, ""));

async function columns(page, row) {
  return (await row.getByRole("cell").or(row.getByRole("rowheader")).allTextContents()).map((text) => text.trim());
}

// The WebSocket toggle of a domain.
async function toggle(enabled, expected) {
  const wanted = { enabled, origin_scheme: "http" };
  const { status, body } = await rest().send("PUT", "/domains/live.example.com/websocket", wanted, { "If-Match": "*" });
  assert.equal(status, expected, JSON.stringify(body));
}

check("without a plan the page says so, and the toggle stays off", async () => {
  const admin = await signIn("admin");
  await everyWidthAndTheme(admin, PATH, async (page, { theme, width }) => {
    await page.getByText("No plan is in effect.").waitFor();
    await screenshot(page, `usage-none-${theme}-${width}`);
  });
  await toggle(false, 200);
  await toggle(true, 409);
  assert.notEqual((await connect("live.example.com")).status, 101);
});

check("who is no admin may look and not choose", async () => {
  for (const role of ["read", "operate"]) {
    const someone = await signIn(role);
    const page = await someone.page(PATH);
    await page.getByText("needs a key with the role admin").waitFor();
    assert.equal(await page.getByRole("button", { name: "Activate" }).count(), 0);
    const form = { csrf: await someone.csrf(), confirmed: "yes", charge: "PayByTraffic", websocket: "websockettraffic" };
    const answer = await someone.ask("POST", "/console/usage/plan", { form });
    assert.equal(answer.status, 403, role);
  }
  assert.equal((await rest().read("/plan")).current, null);
});

check("a method that is none is refused beside its field", async () => {
  const admin = await signIn("admin");
  for (const [charge, websocket, field] of [
    ["PayByGoodwill", "websockettraffic", "f-charge-wrong"],
    ["PayByTraffic", "nothing", "f-websocket-wrong"],
  ]) {
    const form = { csrf: await admin.csrf(), confirmed: "yes", charge, websocket };
    const answer = await admin.ask("POST", "/console/usage/plan", { form });
    assert.equal(answer.status, 422);
    const text = await answer.text();
    const error = text.match(new RegExp(`id="${field}">([^<]*)<`))[1];
    assert.ok(error.includes("expected") && error.includes("PayBy") === charge.includes("Goodwill"), error);
  }
  assert.equal((await rest().read("/plan")).current, null);
});

check("activation is in effect at once, says so before, and lets handshakes through", async () => {
  const admin = await signIn("admin");
  const page = await admin.page(PATH);
  await page.getByText("Takes effect: at once").waitFor();
  const activate = page.getByRole("button", { name: "Activate" });
  await activate.click();
  const dialog = page.getByRole("dialog");
  const asked = await dialog.textContent();
  assert.ok(asked.includes("Pay by traffic") && asked.includes("in effect at once"), asked);
  await dialog.getByRole("button", { name: "Cancel" }).click();
  assert.equal((await rest().read("/plan")).current, null);

  await page.getByLabel(WEBSOCKET).selectOption("websocketbps");
  await activate.click();
  assert.ok((await dialog.textContent()).includes("By daily peak bandwidth"));
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await page.getByLabel(WEBSOCKET).selectOption("websockettraffic");
  await activate.click();
  await dialog.getByRole("button", { name: "Activate" }).click();
  await page.getByText("is in effect since").waitFor();
  const { current } = await rest().read("/plan");
  assert.deepEqual([current.charge_type, current.websocket_bill_type], ["PayByTraffic", "websockettraffic"]);
  await page.getByText(moment(current.effective_from)).first().waitFor();
  await toggle(true, 200);
  const client = await eventually("handshakes succeed", async () => {
    const client = await connect("live.example.com");
    return client.status === 101 && client;
  });
  await client.close();
});

check("the statement is what was sent, and the export is the statement", async () => {
  const client = await connect("live.example.com");
  const other = await connect("chat.example.com");
  for (let i = 0; i < 3; i++) await client.says("send 100000");
  await other.says("x".repeat(5_000));
  const { items } = await rest().read("/connections?sort=bytes_out");
  const sent = Object.fromEntries(items.map((item) => [item.domain, item.bytes_out]));
  await Promise.all([client.close(), other.close()]);
  // It brings the statistics of the edge up to date.
  await eventually("all is counted", async () => {
    await hawser("usage");
    const { lines } = await rest().read("/usage");
    return lines.length === 2 && lines.every(({ domain, bytes }) => bytes > sent[domain]);
  });
  const admin = await signIn("admin");
  const page = await admin.page(PATH);
  const statement = await rest().read("/usage");
  for (const { domain, bytes } of statement.lines) {
    // What else goes to clients: an answer to the handshake, and a Close frame.
    const more = bytes - sent[domain];
    assert.ok(more > 0 && more < 1_000, `${domain}: ${bytes} of ${sent[domain]}`);
  }
  const lines = page.locator("tr[data-line]");
  assert.equal(await lines.count(), 2);
  const csv = await (await admin.ask("GET", await page.getByRole("link", { name: "Export CSV" }).getAttribute("href"))).text();
  const json = await (await admin.ask("GET", await page.getByRole("link", { name: "Export JSON" }).getAttribute("href"))).json();
  assert.deepEqual(json.lines, statement.lines);
  assert.deepEqual(json.totals, statement.totals);
  for (const [i, line] of json.lines.entries()) {
    const [day, domain, bytes, billed, open] = await columns(page, lines.nth(i));
    assert.deepEqual([day, domain], [line.day, line.domain]);
    assert.deepEqual([bytes, billed, open].map(number), [line.bytes, line.billed_bytes, line.open_bytes]);
    assert.ok(csv.includes(`${day},${domain},${line.bytes},${line.billed_bytes},${line.open_bytes},`), csv);
  }
  const total = await columns(page, page.locator("tr.total"));
  assert.equal(number(total[2]), json.totals.bytes);
  const download = page.waitForEvent("download");
  await page.getByRole("link", { name: "Export CSV" }).click();
  const name = (await download).suggestedFilename();
  assert.equal(name, `hawser-usage-${statement.month}.csv`);

  // Side by side, with the currency of the price file and its tiers.
  assert.equal(await page.locator("tr[data-method]").count(), 7);
  const traffic = page.locator('tr[data-method="websockettraffic"]');
  assert.ok((await traffic.textContent()).includes("in effect"));
  assert.ok((await traffic.textContent()).includes("0.25 CNY per GB"));
  await page.getByRole("region", { name: "Prices of Traffic" }).getByText("0.15").waitFor();
  await page.getByText("Prices of the methods that are only compared").click();
  await page.getByRole("region", { name: "Prices of Monthly 95th percentile" }).getByText("20.00").first().waitFor();
  await everyWidthAndTheme(admin, PATH, async (page, { theme, width }) => {
    await screenshot(page, `usage-${theme}-${width}`);
  });
});

check("a statement can be of one domain and of another month", async () => {
  const admin = await signIn("read");
  const page = await admin.page(PATH);
  await page.getByLabel("Domain", { exact: true }).fill("chat.example.com");
  await answered(page, page.getByRole("button", { name: "Apply" }));
  await page.getByText("for chat.example.com").waitFor();
  assert.equal(await page.locator("tr[data-line]").count(), 1);
  const last = await page.getByLabel("Month").locator("option").nth(1).getAttribute("value");
  await page.goto(`${page.url().split("?")[0]}?month=${last}`);
  await page.getByText(`Statement of ${last}`).waitFor();
  await page.getByText("Nothing was sent to clients").waitFor();
  for (const [month, accepted] of [
    ["2026-13", "such as 2026-11"],
    ["soon", "such as 2026-11"],
  ]) {
    const answer = await admin.ask("GET", `/console/usage?month=${month}`);
    assert.equal(answer.status, 400);
    const error = (await answer.text()).match(/id="f-month-wrong">([^<]*)</)[1];
    assert.ok(error.includes(accepted), error);
  }
});

check("a change by the day waits for the next midnight, and says so before", async () => {
  const admin = await signIn("admin");
  const page = await admin.page(PATH);
  const { change_effective_from: at, current } = await rest().read("/plan");
  assert.ok(at.endsWith("T16:00:00Z"), `00:00 at +08:00: ${at}`);
  await page.getByText(`Takes effect: ${moment(at)}`).waitFor();
  // What is in effect already is kept.
  await page.getByRole("button", { name: "Change plan" }).click();
  page.allowed.add(409);
  await answered(page, page.getByRole("dialog").getByRole("button", { name: "Change plan" }));
  await page.getByText("this is the plan that is in effect").waitFor();

  await page.getByLabel(CHARGE).selectOption("PayByBandwidth95");
  await page.getByLabel(WEBSOCKET).selectOption("websocketbps");
  await page.getByRole("button", { name: "Change plan" }).click();
  const asked = await page.getByRole("dialog").textContent();
  assert.ok(asked.includes("Monthly 95th percentile") && asked.includes(moment(at)), asked);
  await page.getByRole("dialog").getByRole("button", { name: "Change plan" }).click();
  await page.getByText("The change takes effect at").waitFor();
  const pending = await rest().read("/plan");
  assert.deepEqual(pending.current, current);
  assert.equal(pending.next.effective_from, at);
  await page.getByText("While a change is pending, another one is refused").waitFor();
  assert.equal(await page.getByRole("button", { name: "Change plan" }).count(), 0);
  await fits(page);
  await axe(page);
  await screenshot(page, "usage-pending");
  const form = { csrf: await admin.csrf(), confirmed: "yes", charge: "PayByTraffic", websocket: "websocketbps" };
  const again = await admin.ask("POST", "/console/usage/plan", { form });
  assert.equal(again.status, 409);
  assert.ok((await again.text()).includes("a change of plan is pending"));

  pass(at);
  await page.reload();
  await page.getByText("Monthly 95th percentile (settled by the month)").waitFor();
  assert.equal((await rest().read("/plan")).next, null);
});

check("a change by the month waits for the first of the next, also without scripts", async () => {
  const admin = await signIn("admin", { scripts: false });
  const page = await admin.page(PATH);
  const { change_effective_from: at } = await rest().read("/plan");
  const local = moment(at);
  assert.ok(local.slice(8, 19) === "01 00:00:00", local);
  await page.getByText(`Takes effect: ${local}`).waitFor();
  await page.getByLabel(CHARGE).selectOption("PayByTraffic");
  await page.getByRole("button", { name: "Change plan" }).click();
  await page.getByRole("heading", { name: "Change the plan?" }).waitFor();
  assert.ok((await page.locator("main").textContent()).includes(local));
  assert.equal((await rest().read("/plan")).next, null);
  await page.getByRole("button", { name: "Change plan" }).click();
  await page.getByText("The change takes effect at").waitFor();
  assert.equal((await rest().read("/plan")).next.effective_from, at);
  pass(at);
  await page.reload();
  await page.getByText("Pay by traffic (settled by the day)").waitFor();
});

check("with billing off the page says so, and how to switch it on", async () => {
  const config = readFileSync(stage.config, "utf8");
  assert.ok(config.includes("[billing]"));
  writeFileSync(stage.config, config.replace(/(\[billing\]\s+)enabled = true/, "$1enabled = false"));
  const reloaded = await rest().send("POST", "/reload");
  assert.equal(reloaded.status, 200, JSON.stringify(reloaded.body));
  const admin = await signIn("admin");
  await everyWidthAndTheme(admin, PATH, async (page) => {
    await page.getByText("Billing is off.").waitFor();
    assert.equal(await page.getByRole("button", { name: "Change plan" }).count(), 0);
  });
  writeFileSync(stage.config, config);
  assert.equal((await rest().send("POST", "/reload")).status, 200);
});
