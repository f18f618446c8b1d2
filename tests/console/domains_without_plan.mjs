// Domains while no billing plan is in effect: WebSocket cannot be turned on, and the pages say why
// and where the way out is. Not here: plans (usage.mjs).

import assert from "node:assert/strict";

import { check, rest, signIn, stage } from "./browser.mjs";
import { handshake } from "./traffic.mjs";

const api = rest();

check("WebSocket cannot be turned on, and the page says where a plan is chosen", async () => {
  const name = "waits.example.com";
  const origin = [{ address: "127.0.0.1", port: stage.origin }];
  const made = await api.send("POST", "/domains", { name, origin, websocket: { enabled: false } });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  const admin = await signIn("admin");
  const page = await admin.page(`/domains/${name}/websocket`, { allowed: [409] });
  const card = page.locator("section.card", { has: page.getByRole("switch") });
  await card.getByText("no billing plan is in effect").waitFor();
  assert.ok(await page.getByRole("switch", { name: "WebSocket" }).isDisabled());
  const way = card.getByRole("link", { name: "Choose a plan" });
  assert.equal(await way.getAttribute("href"), "/console/usage");
  assert.notEqual(await handshake(name), 101);

  await page.goto(`${stage.url}/console/domains?search=waits`);
  await page.getByLabel(name, { exact: true }).check();
  await page.getByRole("button", { name: "WebSocket on", exact: true }).click();
  await page.getByRole("heading", { name: "Nothing was changed" }).waitFor();
  await page.getByRole("main").getByRole("link", { name: "Choose a plan" }).last().waitFor();

  await page.goto(`${stage.url}/console/add-domain`);
  assert.ok(await page.getByRole("switch", { name: "WebSocket" }).isDisabled());
  await page.getByLabel("Host name").fill("later.example.com");
  await page.getByLabel("Address or name").fill("127.0.0.1");
  await page.getByRole("main").getByRole("button", { name: "Review change" }).last().click();
  await page.getByText("+enabled = false", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Add domain" }).click();
  await page.getByText("later.example.com is served.").waitFor();
});

check("with a plan it can", async () => {
  const plan = { charge_type: "PayByTraffic", websocket_bill_type: "websockettraffic" };
  assert.ok((await api.send("POST", "/plan", plan)).status < 300);
  const page = await (await signIn("operate")).page("/domains/waits.example.com/websocket");
  await page.getByRole("switch", { name: "WebSocket" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Turn on" }).click();
  await page.getByText("WebSocket of waits.example.com is on.").waitFor();
  assert.equal(await handshake("waits.example.com"), 101);
});
