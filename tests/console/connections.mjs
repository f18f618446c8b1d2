// The pages below /console/connections, with real clients: what is listed, what moves, what closes.
// Not here: what every page has in common (pages.mjs, security.mjs).

import assert from "node:assert/strict";

import {
  allow, answered, axe, check, eventually, everyWidthAndTheme, fits, rest, screenshot, signIn, tabTo,
} from "./browser.mjs";
import { connect, crowd } from "./traffic.mjs";

const PATH = "/connections";

// The address that the edge sees.
function address(client) {
  const { localAddress, localPort } = client.socket._socket;
  return `${localAddress}:${localPort}`;
}

async function idOf(client) {
  const { items } = await rest().read(`/connections?ip=${client.socket._socket.localAddress}`);
  return items.find((item) => item.client === address(client)).id;
}

async function gone(...clients) {
  await Promise.all(clients.flat().map((client) => client.close()));
  await eventually("they are gone", async () => {
    const { matched } = await rest().read("/connections?limit=1");
    return matched === 0;
  });
}

const rows = (page) => page.locator("tbody tr");
const shown = (page) => page.locator("tbody tr a.row").allTextContents();

// Fills the filter as people do, and sends it.
async function filter(page, fields) {
  await page.goto(page.url().split("?")[0]);
  for (const [label, value] of Object.entries(fields)) {
    await page.getByLabel(label, { exact: true }).fill(value);
  }
  await page.getByRole("button", { name: "Apply" }).click();
  await page.waitForURL(/\?/);
}

check("nobody is connected, and the page says what would change that", async () => {
  const admin = await signIn("admin");
  await everyWidthAndTheme(admin, PATH, async (page) => {
    await page.getByText("Nobody is connected").waitFor();
  });
});

check("the list is sound in every width and theme", async () => {
  const clients = [...(await crowd("live.example.com", 9)), ...(await crowd("chat.example.com", 3))];
  const admin = await signIn("admin");
  const count = async (page) => assert.equal(await rows(page).count(), 12);
  await everyWidthAndTheme(admin, PATH, async (page, { theme, width }) => {
    await count(page);
    await screenshot(page, `connections-${theme}-${width}`);
  });
  await gone(clients);
});

check("details are sound in every width and theme", async () => {
  const client = await connect("live.example.com");
  await client.says("hello");
  const admin = await signIn("admin");
  const id = await idOf(client);
  await everyWidthAndTheme(admin, `${PATH}/${id}`, async (page, { theme, width }) => {
    await page.getByRole("heading", { name: "Client", exact: true }).waitFor();
    await screenshot(page, `connection-${theme}-${width}`);
  });
  await gone(client);
});

check("the form that closes many is sound in every width and theme", async () => {
  const clients = await crowd("chat.example.com", 3);
  const admin = await signIn("admin");
  await everyWidthAndTheme(admin, `${PATH}/close?domain=chat.example.com`, async (page, { theme, width }) => {
    await page.getByText("3 connections").first().waitFor();
    await screenshot(page, `connections-close-${theme}-${width}`);
  });
  await gone(clients);
});

check("the filter narrows down by each of its fields", async () => {
  const live = await crowd("live.example.com", 3);
  const chat = await connect("chat.example.com", { from: "127.0.9.9" });
  await chat.says("hello");
  const admin = await signIn("admin");
  const page = await admin.page(PATH);
  assert.equal(await rows(page).count(), 4);
  const { origin, region, isp } = (await rest().read("/connections?domain=chat.example.com")).items[0];
  const nobody = "No connection matches";
  for (const [fields, expected] of [
    [{ Domain: "chat.example.com" }, 1],
    [{ "Client address or network": "127.0.9.0/24" }, 1],
    [{ "Client address or network": "127.0.0.1" }, 1],
    [{ Domain: "live.example.com", "Client address or network": "127.0.9.0/24" }, 0],
    [{ Origin: origin }, 4],
    [{ Origin: "192.0.2.1:80" }, 0],
    [{ Region: region, ISP: isp }, 4],
    [{ Region: "nowhere" }, 0],
    [{ "Open for at least": "1h" }, 0],
    [{ "Idle for at least": "0" }, 4],
    [{ "Idle for at least": "2d" }, 0],
  ]) {
    await filter(page, fields);
    assert.equal(await rows(page).count(), expected, JSON.stringify(fields));
    assert.equal(await page.getByText(nobody).isVisible(), expected === 0);
    for (const [label, value] of Object.entries(fields)) {
      assert.equal(await page.getByLabel(label, { exact: true }).inputValue(), value);
    }
  }
  await gone(live, chat);
});

check("a filter that cannot be understood is shown again with what would be", async () => {
  const admin = await signIn("admin");
  const page = await admin.page(PATH, { allowed: [400] });
  for (const [label, value, accepted] of [
    ["Client address or network", "10.0.0.1/8", "whose bits behind the prefix are zero"],
    ["Client address or network", "here", "an address like 192.0.2.7"],
    ["Origin", "10.0.0.5", "an address with its port"],
    ["Open for at least", "soon", "a number with s, m, h or d"],
    ["Idle for at least", "400d", "up to 366d"],
  ]) {
    await filter(page, { [label]: value });
    const field = page.getByLabel(label, { exact: true });
    assert.equal(await field.getAttribute("aria-invalid"), "true", `${label}: ${value}`);
    assert.equal(await field.inputValue(), value);
    const described = (await field.getAttribute("aria-describedby")).split(" ").at(-1);
    const error = await page.locator(`#${described}`).textContent();
    assert.ok(error.includes(accepted), error);
  }
  await axe(page);
});

check("columns sort", async () => {
  const clients = await crowd("live.example.com", 3);
  await clients[1].says("send 5000");
  await clients[2].says("x".repeat(9000));
  await eventually("somebody is idle", async () => {
    const { items } = await rest().read("/connections?min_idle_ms=400");
    return items.some((item) => item.client === address(clients[0]));
  });
  await clients[1].says("a");
  await clients[2].says("a");
  const admin = await signIn("admin");
  const page = await admin.page(PATH);
  for (const [head, first] of [
    ["To client", 2],
    ["From client", 2],
    ["Idle", 0],
  ]) {
    await answered(page, page.getByRole("columnheader", { name: head }).getByRole("link"));
    const header = page.getByRole("columnheader", { name: head });
    await eventually("it is sorted", async () => (await header.getAttribute("aria-sort")) === "descending");
    assert.equal((await shown(page))[0], address(clients[first]), head);
  }
  await gone(clients);
});

check("the list follows, and takes neither focus nor what is typed away", async () => {
  const first = await connect("live.example.com");
  const admin = await signIn("admin");
  const page = await admin.page(PATH);
  await tabTo(page, page.getByLabel("Region"));
  await page.keyboard.type("bei");
  const second = await connect("chat.example.com", { from: "127.0.0.2" });
  await page.getByRole("link", { name: address(second) }).waitFor();
  assert.equal(await page.getByText("2 connections", { exact: true }).count(), 1);
  const region = page.getByLabel("Region");
  assert.equal(await region.inputValue(), "bei");
  assert.ok(await region.evaluate((element) => element === document.activeElement));

  // A row in focus stays where it is when it ends; elsewhere it goes.
  await page.getByRole("link", { name: address(second) }).focus();
  await second.close();
  await page.locator("tr[data-gone]").waitFor();
  await region.focus();
  await eventually("its row is gone", async () => (await rows(page).count()) === 1);

  await gone(first);
});

check("a paused list asks nothing until it goes on", async () => {
  const admin = await signIn("admin");
  await admin.context.clock.install();
  const page = await admin.page(PATH);
  let asked = 0;
  page.on("request", (request) => (asked += request.url().includes("/api/v1/connections")));
  const turn = () => page.clock.fastForward("00:06");
  await turn();
  // The clock goes on by itself too.
  await eventually("it asks", async () => asked > 0);
  await page.getByRole("button", { name: "Pause" }).click();
  assert.equal(await page.getByRole("status").getByText("Paused").count(), 1);
  const before = asked;
  const client = await connect("chat.example.com", { from: "127.0.0.3" });
  for (let i = 0; i < 3; i++) await turn();
  assert.equal(asked, before);
  assert.equal(await page.getByRole("link", { name: address(client) }).count(), 0);
  await page.getByRole("button", { name: "Resume" }).click();
  await turn();
  await page.getByRole("link", { name: address(client) }).waitFor();
  await gone(client);
});

check("details move with traffic and say why it ended", async () => {
  const client = await connect("live.example.com");
  const admin = await signIn("read");
  const page = await admin.page(`${PATH}/${await idOf(client)}`);
  const figure = (name) => page.locator(`[data-live="${name}"]`);
  const reads = (name, text) =>
    eventually(`${name} is ${text}`, async () => (await figure(name).textContent()).includes(text));
  assert.equal(await figure("client_frame").textContent(), "none yet");
  await client.says("hello");
  await reads("messages_in", "1");
  await reads("messages_out", "1");
  await reads("client_frame", "text, 5 B");
  await client.says(Buffer.alloc(2000));
  await reads("origin_frame", "binary, 2.00 KB");
  await reads("client_close", "not begun");
  assert.ok(await page.getByText(address(client)).isVisible());
  allow(page, 404);
  await client.close(4000, "enough");
  await page.getByText("The client closed it, with code 4000.").waitFor();
  await page.getByRole("link", { name: "Show its end" }).click();
  await page.getByText("peer_close").waitFor();
  await fits(page);
  await axe(page);
  await gone();
});

check("closing one ends that one with its code and reason, and no other", async () => {
  const [one, other] = await crowd("live.example.com", 2);
  const someone = await signIn("operate");
  const page = await someone.page(`${PATH}/${await idOf(one)}`, { allowed: [404, 422] });
  const close = async (code, reason) => {
    await page.getByLabel("Close code").fill(code);
    await page.getByLabel("Reason").fill(reason);
    await page.getByRole("button", { name: "Close connection" }).click();
    await answered(page, page.getByRole("dialog").getByRole("button", { name: "Close connection" }));
  };
  for (const [code, reason, label, accepted] of [
    ["1005", "x", "Close code", "3000 to 4999"],
    ["soon", "x", "Close code", "3000 to 4999"],
    ["4001", "é".repeat(62), "Reason", "at most 123 bytes"],
  ]) {
    await close(code, reason);
    const field = page.getByLabel(label);
    assert.equal(await field.getAttribute("aria-invalid"), "true");
    const described = (await field.getAttribute("aria-describedby")).split(" ").at(-1);
    assert.ok((await page.locator(`#${described}`).textContent()).includes(accepted));
    assert.equal(await page.getByLabel("Reason").inputValue(), reason);
  }
  assert.ok(one.isOpen);
  // Whoever cancels closes nothing.
  await page.getByRole("button", { name: "Close connection" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  assert.ok(one.isOpen);
  await close("4001", "enough");
  assert.deepEqual(await one.closed, { code: 4001, reason: "enough" });
  await page.getByText("is being closed").waitFor();
  assert.ok(other.isOpen);
  await other.says("still here");
  await gone(other);
});

check("what matches is closed at a pace, followed and stopped", async () => {
  const many = await crowd("live.example.com", 60);
  const other = await connect("chat.example.com");
  const someone = await signIn("operate");
  const page = await someone.page(PATH, { allowed: [422] });
  await filter(page, { Domain: "live.example.com" });
  await answered(page, page.getByRole("link", { name: "Close these…" }));
  await page.getByText("60 connections").first().waitFor();
  const go = async (fields) => {
    for (const [label, value] of Object.entries(fields)) await page.getByLabel(label).fill(value);
    await page.getByRole("button", { name: "Close 60 connections" }).click();
  };
  const dialog = page.getByRole("dialog");
  const sure = () => answered(page, dialog.getByRole("button", { name: "Close 60 connections" }));
  for (const [fields, label, accepted] of [
    [{ "Close code": "1006", Reason: "x", Pace: "1" }, "Close code", "3000 to 4999"],
    [{ "Close code": "1012", Reason: "x".repeat(124), Pace: "1" }, "Reason", "at most 123 bytes"],
    [{ "Close code": "1012", Reason: "moving", Pace: "0" }, "Pace", "1 to 1,000,000"],
    [{ "Close code": "1012", Reason: "moving", Pace: "fast" }, "Pace", "1 to 1,000,000"],
  ]) {
    await go(fields);
    await sure();
    const field = page.getByLabel(label);
    assert.equal(await field.getAttribute("aria-invalid"), "true");
    const described = (await field.getAttribute("aria-describedby")).split(" ").at(-1);
    assert.ok((await page.locator(`#${described}`).textContent()).includes(accepted));
  }
  assert.ok(many.every((client) => client.isOpen));
  await go({ "Close code": "4002", Reason: "moving", Pace: "1" });
  await sure();
  await page.getByRole("progressbar").waitFor();
  await eventually("it moves by itself", async () => (await page.getByRole("progressbar").getAttribute("value")) !== "0");
  await fits(page);
  await axe(page);
  await screenshot(page, "connections-closing");
  await page.getByRole("button", { name: "Stop it" }).click();
  await page.getByText("Stopped:").first().waitFor();
  const { items } = await rest().read("/connections/closings");
  const left = await eventually("those told are gone", () => {
    const open = many.filter((client) => client.isOpen);
    return open.length === 60 - items[0].told && open;
  });
  assert.ok(left.length > 0 && left.length < 60, `${left.length} left`);
  for (const client of many.filter((client) => !client.isOpen)) {
    assert.deepEqual(await client.closed, { code: 4002, reason: "moving" });
  }
  assert.ok(other.isOpen);
  await page.goto(new URL("/console/connections/closings", page.url()).href);
  await page.getByText("domain live.example.com").first().waitFor();
  await axe(page);
  await gone(left, other);
});

check("without scripts the same can be read and done", async () => {
  const [one, other] = await crowd("live.example.com", 2);
  const someone = await signIn("operate", { scripts: false });
  const page = await someone.page(PATH);
  assert.equal(await page.getByRole("button", { name: "Pause" }).count(), 0);
  await filter(page, { "Client address or network": "127.0.0.1" });
  await page.getByRole("link", { name: address(one) }).click();
  await page.getByRole("heading", { name: "Origin", exact: true }).waitFor();
  await page.getByLabel("Close code").fill("4003");
  await page.getByRole("button", { name: "Close connection" }).click();
  await page.getByRole("heading", { name: "Close this connection?" }).waitFor();
  assert.ok(one.isOpen);
  await page.getByRole("button", { name: "Close connection" }).click();
  assert.equal((await one.closed).code, 4003);
  await eventually("one is left", async () => (await rest().read("/connections?limit=1")).matched === 1);

  await page.goto(new URL("/console/connections/close?domain=live.example.com", page.url()).href);
  await page.getByRole("button", { name: "Close 1 connection" }).click();
  await page.getByRole("button", { name: "Close connections" }).click();
  await page.getByRole("progressbar").waitFor();
  assert.equal((await other.closed).code, 1012);
  await gone();
});

check("who may only look is offered nothing else, and gets nothing else", async () => {
  const client = await connect("live.example.com");
  const id = await idOf(client);
  const someone = await signIn("read");
  const page = await someone.page(`${PATH}?domain=live.example.com`);
  assert.equal(await rows(page).count(), 1);
  assert.equal(await page.getByRole("link", { name: "Close these…" }).count(), 0);
  await page.goto(`${page.url().split("?")[0]}/${id}`);
  assert.equal(await page.getByRole("button", { name: "Close connection" }).count(), 0);
  const form = { csrf: await someone.csrf(), confirmed: "yes", code: "1012", reason: "x" };
  for (const [below, more] of [
    [`/connections/${id}/close`, {}],
    ["/connections/close", { domain: "live.example.com" }],
    ["/connections/closings/1/stop", {}],
  ]) {
    const answer = await someone.ask("POST", `/console${below}`, { form: { ...form, ...more } });
    assert.equal(answer.status, 403, below);
  }
  assert.equal((await someone.ask("GET", "/console/connections/close?domain=x")).status, 403);
  assert.ok(client.isOpen);
  await gone(client);
});

check("an unknown connection is not found", async () => {
  const someone = await signIn("read");
  const page = await someone.page(`${PATH}/00000000000003e9`, { allowed: [404] });
  await page.getByText("This connection is not open").waitFor();
  const answer = await someone.ask("GET", "/console/connections/xyz");
  assert.equal(answer.status, 400);
});
