// The list of domains, the form that adds, changes to several at once, who may do what, and all of
// it without scripts; and that what the pages say is what clients meet.
//
// Not here: the pages of one domain (domain.mjs), WebSocket without a plan
// (domains_without_plan.mjs), what every page has in common (pages.mjs, security.mjs).

import assert from "node:assert/strict";

import {
  allow, answered, axe, check, eventually, everyWidthAndTheme, screenshot, signIn, stage,
} from "./browser.mjs";
import { api, apply, button, error, fresh, patched, refuses, review } from "./forms.mjs";
import { ask, connect, handshake } from "./traffic.mjs";

const PARTS = ["websocket", "origins", "certificates", "limits", "access", "file", "history"];
const TABS = ["", ...PARTS.map((part) => `/${part}`)];

check("the list shows what each domain does, and finds by name and state", async () => {
  const client = await connect("live.example.com");
  assert.equal(client.status, 101);
  await client.says("hello");
  const someone = await signIn("operate");
  const page = await someone.page("/domains");
  const row = (name) =>
    page.getByRole("row").filter({ has: page.getByRole("link", { name, exact: true }) });
  await eventually("figures of the row", async () => {
    await page.reload();
    const text = await row("live.example.com").innerText();
    return /online on 60 s, Follow 1 [\d.]+ K?B 1 of 1 up/.test(text.replaceAll(/\s+/g, " "));
  });
  await eventually("an origin that is down", async () => {
    await page.reload();
    return (await row("down.example.com").innerText()).includes("0 of 1");
  });
  await page.getByLabel("Name", { exact: true }).pressSequentially("CHAT");
  await page.waitForURL(/\?search=CHAT$/);
  await page.getByText("1 domain", { exact: true }).waitFor();
  assert.equal(await row("live.example.com").count(), 0);
  await page.getByLabel("Name", { exact: true }).fill("nothing like that");
  await page.getByText("No domain is like that").waitFor();
  await answered(page, page.getByRole("link", { name: "Show all domains" }));
  await row("live.example.com").waitFor();
  await page.getByLabel("State").selectOption("Stopped");
  await page.getByText("No domain is like that").waitFor();
  await page.goto(`${stage.url}/console/domains?websocket=true&search=secure`);
  await row("secure.example.com").getByRole("link", { name: "secure.example.com" }).first().click();
  await page.getByRole("heading", { level: 1, name: "secure.example.com" }).waitFor();
  await client.close();
});

check("a long list comes in parts", async () => {
  const origin = [{ address: "127.0.0.1", port: stage.origin }];
  const document = { websocket: { enabled: false }, origin };
  const names = Array.from({ length: 50 }, (_, i) => `n${String(i).padStart(2, "0")}.long.test`);
  const send = (action, more) => {
    const changes = names.map((name) => ({ action, name, ...more(name) }));
    return api.send("POST", "/changes", { changes });
  };
  const made = await send("create", (name) => ({ document: { name, ...document } }));
  assert.equal(made.status, 200, JSON.stringify(made.body));
  const page = await (await signIn("read")).page("/domains");
  await page.getByText(/^50 of 5\d domains$/).waitFor();
  await page.getByRole("link", { name: "Next page" }).click();
  await page.getByRole("link", { name: "secure.example.com", exact: true }).waitFor();
  await page.getByRole("link", { name: "First page" }).click();
  await page.getByRole("link", { name: "n00.long.test", exact: true }).waitFor();
  assert.equal((await send("remove", () => ({}))).status, 200);
});

check("several are stopped and started as one change", async () => {
  const names = [await fresh("one.batch.test"), await fresh("two.batch.test")];
  const page = await (await signIn("operate")).page("/domains?search=batch.test");
  allow(page, 422, 412);
  await button(page, "Stop").first().click();
  await page.getByText("No domain was ticked").waitFor();
  await answered(page, page.getByRole("link", { name: "Back to the list" }));
  await page.getByLabel("Name", { exact: true }).fill("batch.test");
  await page.getByText("2 domains", { exact: true }).waitFor();
  await page.getByLabel("All domains on this page").check();
  await page.getByText("With 2 ticked:").waitFor();
  await button(page, "Stop").first().click();
  const dialog = page.getByRole("dialog", { name: "Stop: 2 domains" });
  await dialog.getByRole("heading", { name: names[1] }).waitFor();
  await screenshot(page, "domains-batch");
  await axe(page);
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  assert.equal(await ask(names[0]), 200, "nothing was changed yet");
  await button(page, "Stop").first().click();
  await dialog.waitFor();
  // One of them is changed by somebody else before the word is given: none is stopped.
  await patched(names[1], { websocket: { heartbeat: 7 } });
  await answered(page, button(dialog, "Apply"));
  await page.getByText("Somebody changed it meanwhile.").waitFor();
  assert.equal(await ask(names[0]), 200);
  await answered(page, button(page, "Apply"));
  await page.getByText("Stop: 2 domains changed.").waitFor();
  for (const name of names) assert.equal(await ask(name), 421);
  await page.getByLabel(names[0]).check();
  await button(page, "WebSocket off").click();
  await answered(page, button(page.getByRole("dialog"), "Apply"));
  await page.getByText("WebSocket off: 1 domain changed.").waitFor();
  assert.match(page.url(), /\?search=batch.test$/, "the list is the one that it was");
  assert.equal((await api.read(`/domains/${names[0]}`)).websocket.enabled, false);
  await button(page, `Start ${names[1]}`).click();
  await button(page.getByRole("dialog"), "Start").click();
  await page.getByText(`${names[1]} is online.`).waitFor();
  assert.equal(await handshake(names[1]), 101);
});

check("a domain is added, and what is wrong with it stands beside its field", async () => {
  const page = await (await signIn("operate")).page("/domains");
  await page.getByRole("link", { name: "Add domain" }).click();
  await page.getByLabel("Host name").fill("new.example.com");
  const address = page.getByLabel("Address or name");
  await address.fill("127.0.0.1");
  for (const [label, typed, told] of [
    ["Heartbeat interval", "0", "0 is not accepted; accepted: a whole number of seconds from 1"],
    ["Heartbeat interval", "301", "301 is not accepted"],
    ["Heartbeat interval", "x", '"x" is not accepted'],
    ["HTTP port", "70000", "70000 is not accepted; accepted: a whole number from 1 to 65535"],
    ["Weight", "101", "101 is not accepted"],
    ["Address or name", "http://x", "accepted: an IP address or a host name"],
    ["Host name", "New_Domain", "accepted: a host name"],
  ]) {
    const was = await page.getByLabel(label, { exact: true }).inputValue();
    await refuses(page, label, typed, told);
    assert.equal(await page.getByLabel("HTTPS port").inputValue(), "443");
    await page.getByLabel(label, { exact: true }).fill(was);
  }
  await page.getByLabel("HTTP port").fill("80");
  await address.fill("");
  await review(page).click();
  await page.getByText("A domain needs at least one origin").waitFor();
  await address.fill("127.0.0.1");
  await page.getByLabel("HTTP port").fill(String(stage.origin));
  await button(page, "Add an origin").click();
  const second = page.getByRole("group", { name: "Origin 2" });
  await second.getByLabel("Address or name").fill("127.0.0.9");
  await second.getByLabel("Priority").selectOption("30 backup");
  await review(page).click();
  const diff = page.getByRole("region", { name: "Difference" });
  for (const line of ['+name = "new.example.com"', "+priority = 30", `+port = ${stage.origin}`]) {
    await diff.getByText(line, { exact: true }).waitFor();
  }
  await screenshot(page, "domains-add-preview");
  await button(page, "Back").click();
  assert.equal(await second.getByLabel("Address or name").inputValue(), "127.0.0.9");
  await review(page).click();
  await button(page, "Add domain").click();
  await page.getByText("new.example.com is served.").waitFor();
  const client = await connect("new.example.com");
  assert.equal(client.status, 101);
  await client.close();
  const again = await (await signIn("operate")).page("/add-domain", { allowed: [409] });
  await again.getByLabel("Host name").fill("new.example.com");
  await again.getByLabel("Address or name").fill("127.0.0.1");
  await review(again).click();
  await again.getByText("there is a domain \"new.example.com\" already").waitFor();
});

check("a domain is stopped, started, and deleted by its name", async () => {
  const name = await fresh("gone.example.com");
  const page = await (await signIn("operate")).page(`/domains/${name}`, { allowed: [422] });
  const client = await connect(name);
  await button(page, "Stop").click();
  await answered(page, button(page.getByRole("dialog", { name: `Stop ${name}` }), "Stop"));
  await page.getByText(`${name} is stopped.`).waitFor();
  await client.closed;
  assert.equal(await ask(name), 421);
  await button(page, "Start").click();
  await button(page.getByRole("dialog"), "Start").click();
  await page.getByText(`${name} is online.`).waitFor();
  assert.equal(await handshake(name), 101);
  await page.getByLabel("Name of the domain").fill("gone.example.org");
  await answered(page, button(page, "Delete"));
  await error(page, "Name of the domain").getByText(`accepted: ${name}`).waitFor();
  await page.getByLabel("Name of the domain").fill(name);
  await button(page, "Delete").click();
  await button(page.getByRole("dialog", { name: `Delete ${name}` }), "Delete").click();
  await page.getByText(`${name} was deleted.`).waitFor();
  assert.equal(await ask(name), 421);
  const gone = await (await signIn("admin")).page(`/domains/${name}`, { allowed: [404] });
  await gone.getByText(/there is no domain/).waitFor();
  // Its history stays, and brings it back.
  await gone.goto(`${stage.url}/console/domains/${name}/history`);
  await gone.getByRole("button", { name: /Roll back/ }).nth(1).click();
  await button(gone.getByRole("dialog"), "Roll back").click();
  await gone.getByText(/is what it was after entry/).waitFor();
  assert.equal(await handshake(name), 101);
});

check("a key that may only read sees all and is offered nothing", async () => {
  const name = "live.example.com";
  const someone = await signIn("read");
  for (const tab of TABS) {
    const page = await someone.page(`/domains/${name}${tab}`);
    const offered = page.getByRole("main").getByRole("button").filter({ hasNotText: "Copy" });
    for (const one of await offered.all()) assert.ok(await one.isDisabled(), await one.innerText());
    for (const field of await page.getByRole("main").getByRole("textbox").all()) {
      assert.ok(!(await field.isEditable()), await field.getAttribute("name"));
    }
    await page.close();
  }
  const list = await someone.page("/domains");
  assert.equal(await list.getByRole("checkbox").count(), 0);
  assert.equal(await list.getByRole("link", { name: "Add domain" }).count(), 0);
  const csrf = await someone.csrf();
  for (const [path, form] of [
    [`/domains/${name}/stop`, { step: "apply" }],
    [`/domains/${name}/websocket/toggle`, { step: "apply", to: "off" }],
    [`/domains/${name}/limits`, { "websocket.max_connections": "1", step: "apply" }],
    [`/domains/${name}/delete`, { step: "apply", confirm: name }],
    ["/change-domains", { action: "stop", domain: name, step: "apply", revision: "x" }],
    ["/add-domain", { name: "x.test", step: "apply", "origin.address": "127.0.0.1" }],
  ]) {
    const answer = await someone.ask("POST", `/console${path}`, { form: { csrf, ...form } });
    assert.equal(answer.status, 403, path);
  }
  assert.equal(await handshake(name), 101);
  assert.equal((await api.send("GET", "/domains/x.test")).status, 404);
});

check("a form of another page is not taken", async () => {
  const someone = await signIn("admin");
  for (const path of ["/domains/live.example.com/stop", "/add-domain", "/change-domains"]) {
    const form = { csrf: "x", step: "apply" };
    const answer = await someone.ask("POST", `/console${path}`, { form });
    assert.equal(answer.status, 403, path);
  }
});

check("everything works without scripts", async () => {
  const page = await (await signIn("admin", { scripts: false })).page("/add-domain");
  await page.getByLabel("Host name").fill("plain.example.com");
  await page.getByLabel("Address or name").fill("127.0.0.1");
  await page.getByLabel("HTTP port").fill(String(stage.origin));
  await button(page, "Add an origin").click();
  assert.equal(await page.getByLabel("Host name").inputValue(), "plain.example.com");
  const second = page.getByRole("group", { name: "Origin 2" });
  await second.getByLabel("Address or name").fill("127.0.0.9");
  await page.getByLabel("Host name").press("Enter");
  await button(page, "Add domain").click();
  await page.getByText("plain.example.com is served.").waitFor();
  const pages = page.getByRole("navigation", { name: "Pages of" });
  await pages.getByRole("link", { name: "WebSocket" }).click();
  await page.getByRole("switch", { name: "WebSocket" }).click();
  await page.getByRole("heading", { name: "Turn off WebSocket of plain.example.com" }).waitFor();
  await button(page, "Back").click();
  assert.equal(await handshake("plain.example.com"), 101);
  await page.getByRole("switch", { name: "WebSocket" }).click();
  await button(page, "Turn off").click();
  await page.getByText("WebSocket of plain.example.com is off.").waitFor();
  assert.equal(await handshake("plain.example.com"), 200);
  await page.goto(`${stage.url}/console/domains?search=plain`);
  await page.getByLabel("plain.example.com", { exact: true }).check();
  await button(page, "WebSocket on").click();
  await button(page, "Apply").click();
  await page.getByText("WebSocket on: 1 domain changed.").waitFor();
  assert.equal(await handshake("plain.example.com"), 101);
  await page.goto(`${stage.url}/console/domains/plain.example.com/history`);
  await page.getByRole("button", { name: /Roll back/ }).nth(1).click();
  await button(page, "Roll back").click();
  await page.getByText(/is what it was after entry/).waitFor();
});

check("list and form are sound in every width and theme", async () => {
  const admin = await signIn("admin");
  for (const path of ["/domains", "/add-domain"]) {
    await everyWidthAndTheme(admin, path, async (page, { theme, width }) => {
      const name = `domains${path.replace("/", "-")}-${theme}-${width}`;
      if (width !== 2560) await screenshot(page, name);
    });
  }
});
