// The pages of domains: the list, the form that adds, and what stands below one domain; forms with
// good and bad input, previews and conflicts, and that what they say is what clients meet.
//
// Not here: WebSocket without a plan (domains_without_plan.mjs), what every page has in common
// (pages.mjs, security.mjs).

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";

import {
  allow, axe, check, eventually, everyWidthAndTheme, fits, rest, screenshot, signIn, stage, tabTo,
} from "./browser.mjs";
import { ask, connect } from "./traffic.mjs";

const api = rest();
const TABS = ["", "/websocket", "/origins", "/certificates", "/limits", "/access", "/file", "/history"];

// A domain of one check alone, in front of the origin that is always there.
async function fresh(name, more = {}) {
  const origin = [{ address: "127.0.0.1", port: stage.origin }];
  const { status, body } = await api.send("POST", "/domains", { name, origin, ...more });
  assert.equal(status, 201, JSON.stringify(body));
  return name;
}

const patched = (name, patch) => api.send("PATCH", `/domains/${name}`, patch, { "If-Match": "*" });
const button = (page, name) => page.getByRole("button", { name, exact: true });
const review = (page) => page.getByRole("main").getByRole("button", { name: "Review change" }).last();
const error = (page, label) =>
  page.locator(".field", { has: page.getByLabel(label, { exact: true }) }).locator(".error");

// From a form over its preview, which shows these lines, to the change.
async function apply(page, ...lines) {
  await review(page).click();
  const diff = page.getByRole("region", { name: "Difference" });
  for (const line of lines) await diff.getByText(line, { exact: true }).waitFor();
  await button(page, "Apply").click();
  await page.getByText("was changed; it holds for new handshakes").waitFor();
}

// What a refused form says beside the field; what was typed is still there.
async function refuses(page, label, typed, told) {
  await page.getByLabel(label, { exact: true }).fill(typed);
  allow(page, 422);
  await review(page).click();
  await error(page, label).getByText(told).waitFor();
  assert.equal(await page.getByLabel(label, { exact: true }).inputValue(), typed);
  assert.equal(await page.getByLabel(label, { exact: true }).getAttribute("aria-invalid"), "true");
}

// === The list ===

check("the list shows what each domain does, and finds by name and state", async () => {
  const client = await connect("live.example.com");
  assert.equal(client.status, 101);
  await client.says("hello");
  const someone = await signIn("operate");
  const page = await someone.page("/domains");
  const row = (name) => page.getByRole("row").filter({ has: page.getByRole("link", { name, exact: true }) });
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
  await page.getByText("1 domain", { exact: true }).waitFor();
  assert.match(page.url(), /\?search=CHAT$/);
  assert.equal(await row("live.example.com").count(), 0);
  await page.getByLabel("Name", { exact: true }).fill("nothing like that");
  await page.getByText("No domain is like that").waitFor();
  await page.getByRole("link", { name: "Show all domains" }).click();
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
  await page.getByRole("link", { name: "Back to the list" }).click();
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
  await button(dialog, "Apply").click();
  await page.getByText("Somebody changed it meanwhile.").waitFor();
  assert.equal(await ask(names[0]), 200);
  await button(page, "Apply").click();
  await page.getByText("Stop: 2 domains changed.").waitFor();
  for (const name of names) assert.equal(await ask(name), 421);
  await page.getByLabel(names[0]).check();
  await button(page, "WebSocket off").click();
  await button(page.getByRole("dialog"), "Apply").click();
  await page.getByText("WebSocket off: 1 domain changed.").waitFor();
  assert.match(page.url(), /\?search=batch.test$/, "the list is the one that it was");
  assert.equal((await api.read(`/domains/${names[0]}`)).websocket.enabled, false);
  await button(page, `Start ${names[1]}`).click();
  await button(page.getByRole("dialog"), "Start").click();
  await page.getByText(`${names[1]} is online.`).waitFor();
  assert.equal((await connect(names[1])).status, 101);
});

// === Adding ===

check("a domain is added, and what is wrong with it stands beside its field", async () => {
  const page = await (await signIn("operate")).page("/domains");
  await page.getByRole("link", { name: "Add domain" }).click();
  await page.getByLabel("Host name").fill("new.example.com");
  const address = page.getByLabel("Address or name");
  await address.fill("127.0.0.1");
  for (const [label, typed, told] of [
    ["Heartbeat interval", "0", "0 is not accepted; accepted: a whole number of seconds from 1 to 300"],
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

// === WebSocket ===

check("the toggle stops handshakes and lets them through again", async () => {
  const name = await fresh("toggle.example.com");
  const page = await (await signIn("operate")).page(`/domains/${name}/websocket`);
  const toggle = page.getByRole("switch", { name: "WebSocket" });
  const open = await connect(name);
  assert.equal(open.status, 101);
  assert.equal(await toggle.getAttribute("aria-checked"), "true");
  // By the keyboard alone, and back out of it first.
  await tabTo(page, toggle);
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog", { name: `Turn off WebSocket of ${name}` });
  await dialog.getByText("+enabled = false", { exact: true }).waitFor();
  await axe(page);
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  assert.ok(await toggle.evaluate((element) => element === document.activeElement));
  assert.equal((await connect(name)).status, 101);
  await toggle.click();
  await button(dialog, "Turn off").click();
  await page.getByText(`WebSocket of ${name} is off.`).waitFor();
  assert.equal(await toggle.getAttribute("aria-checked"), "false");
  assert.equal((await connect(name)).status, 200, "Upgrade was taken out: the origin says hello");
  assert.ok(open.isOpen, "what is open stays");
  await toggle.click();
  await button(page.getByRole("dialog"), "Turn on").click();
  await page.getByText(`WebSocket of ${name} is on.`).waitFor();
  assert.equal((await connect(name)).status, 101);
});

check("heartbeat and protocol are modified", async () => {
  const name = await fresh("modify.example.com");
  const page = await (await signIn("operate")).page(`/domains/${name}/websocket`);
  await page.getByText("60 s", { exact: true }).waitFor();
  await page.getByRole("link", { name: "Modify" }).click();
  for (const [typed, told] of [["0", "0 is not"], ["301", "301 is not"], ["x", '"x" is not']]) {
    await refuses(page, "Heartbeat interval", typed, told);
  }
  await page.getByLabel("Heartbeat interval").fill("30");
  await page.getByText("HTTPS", { exact: true }).click();
  await apply(page, "+heartbeat = 30", '+origin_scheme = "https"');
  await page.getByText("30 s", { exact: true }).waitFor();
  const { websocket } = await api.read(`/domains/${name}`);
  assert.deepEqual([websocket.heartbeat, websocket.origin_scheme], [30, "https"]);
  await page.getByRole("link", { name: "Modify" }).click();
  await page.getByLabel("Heartbeat interval").fill("");
  await page.getByText("HTTP", { exact: true }).click();
  await apply(page, "-heartbeat = 30");
  await page.getByText("60 s", { exact: true }).waitFor();
  await page.getByRole("link", { name: "Modify" }).click();
  await review(page).click();
  await page.getByText("Nothing would change.").waitFor();
});

// === Previews ===

check("two changes at the same time lose nothing", async () => {
  const name = await fresh("both.example.com");
  const page = await (await signIn("operate")).page(`/domains/${name}/limits`, { allowed: [412] });
  await page.getByLabel("Connections", { exact: true }).fill("1000");
  await review(page).click();
  await page.getByText("+max_connections = 1000", { exact: true }).waitFor();
  await patched(name, { websocket: { max_frame: "64KiB" } });
  await button(page, "Apply").click();
  await page.getByText("Somebody changed it meanwhile.").waitFor();
  await page.getByText(' max_frame = "64KiB"', { exact: true }).waitFor();
  await screenshot(page, "domains-conflict");
  await axe(page);
  assert.equal((await api.read(`/domains/${name}`)).websocket.max_connections, false);
  await button(page, "Back").click();
  assert.equal(await page.getByLabel("Connections", { exact: true }).inputValue(), "1000");
  await apply(page, "+max_connections = 1000");
  const { websocket } = await api.read(`/domains/${name}`);
  assert.deepEqual([websocket.max_connections, websocket.max_frame], [1000, "64KiB"]);
  // A form that was opened before a change says so before anything is applied.
  const other = await (await signIn("operate")).page(`/domains/${name}/limits`);
  await patched(name, { websocket: { max_frame: null } });
  await other.getByLabel("Longest life").fill("12h");
  await review(other).click();
  await other.getByText("Somebody changed it meanwhile.").waitFor();
  await button(other, "Apply").click();
  await other.getByText("was changed").waitFor();
  const after = (await api.read(`/domains/${name}`)).websocket;
  assert.deepEqual([after.max_lifetime, after.max_frame], ["12h", false]);
});

// === Origins ===

check("origins are added, changed and removed", async () => {
  const name = await fresh("origins.example.com");
  const page = await (await signIn("operate")).page(`/domains/${name}/origins`);
  await page.getByRole("cell", { name: "up", exact: true }).first().waitFor();
  await button(page, "Add an origin").click();
  const second = page.getByRole("group", { name: "Origin 2" });
  const focused = second.getByLabel("Address or name");
  assert.ok(await focused.evaluate((element) => element === document.activeElement));
  await focused.fill("no name");
  await second.getByLabel("HTTP port").fill("70000");
  allow(page, 422);
  await review(page).click();
  await second.getByText("accepted: a whole number from 1 to 65535").waitFor();
  await second.getByText("accepted: an IP address or a host name").waitFor();
  await second.getByLabel("Address or name").fill("127.0.0.9");
  await second.getByLabel("HTTP port").fill("8080");
  await second.getByLabel("Priority").selectOption("30 backup");
  await page.getByLabel("Choose by").selectOption("Least connections per weight");
  await page.getByLabel("When an address goes down, close").fill("50");
  await apply(page, '+address = "127.0.0.9"', "+priority = 30", '+mode = "least_connections"',
    "+close_on_origin_down = 50");
  await page.getByRole("cell", { name: "backup" }).first().waitFor();
  const { origin } = await api.read(`/domains/${name}`);
  assert.deepEqual(origin.map((one) => [one.address, one.port, one.priority]), [
    ["127.0.0.1", stage.origin, 20],
    ["127.0.0.9", 8080, 30],
  ]);
  await button(page, "Remove origin 2").click();
  assert.equal(await page.getByRole("group", { name: "Origin 2" }).count(), 0);
  await apply(page, '-address = "127.0.0.9"');
  await page.getByLabel("Address or name").fill("");
  await page.getByLabel("HTTP port").fill("80");
  await review(page).click();
  await page.getByText("A domain needs at least one origin").waitFor();
});

// === Certificates ===

check("a pair is uploaded and removed, and its key never comes back", async () => {
  const name = "secure.example.com";
  const chain = readFileSync(stage.certificate, "utf8");
  const key = readFileSync(stage.private_key, "utf8");
  const someone = await signIn("operate");
  const page = await someone.page(`/domains/${name}/certificates`, { allowed: [422] });
  await page.getByText(/^(19|20) days left$/).waitFor();
  await page.getByLabel("Certificates come from", { exact: true }).selectOption("uploaded");
  allow(page, 422);
  await review(page).click();
  await error(page, "Files with the private keys").getByText("names no file").waitFor();
  await page.getByLabel("Files with the private keys").fill("");
  await apply(page, '+certificate = "uploaded"');
  await page.getByText("No certificate", { exact: true }).waitFor();
  const other = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const upload = async (certificate, secret) => {
    await page.getByLabel("Certificate chain", { exact: true }).fill(certificate);
    await page.getByLabel("Private key", { exact: true }).fill(secret);
    await button(page, "Upload").click();
  };
  await upload(chain, other.export({ type: "pkcs8", format: "pem" }));
  await error(page, "Private key").getByText(/./).waitFor();
  assert.equal(await page.getByLabel("Private key", { exact: true }).inputValue(), "");
  const kept = await page.getByLabel("Certificate chain", { exact: true }).inputValue();
  assert.equal(kept.trim(), chain.trim());
  await upload("nonsense", key);
  await error(page, "Certificate chain").getByText(/./).waitFor();
  // From files, which a script puts into the same fields.
  await page.getByLabel("Certificate chain, from a file").setInputFiles(stage.certificate);
  await page.getByLabel("Private key, from a file").setInputFiles(stage.private_key);
  const filled = page.getByLabel("Private key", { exact: true });
  await eventually("the file in the field", async () => (await filled.inputValue()) === key);
  await button(page, "Upload").click();
  await page.getByText(`The certificate of ${name} holds for new connections.`).waitFor();
  await page.getByText(/^(19|20) days left$/).waitFor();
  await page.getByText("uploaded", { exact: true }).waitFor();
  const text = await page.content();
  assert.ok(!text.includes(key.split("\n")[1]), "the key is on the page");
  await screenshot(page, "domains-certificate");
  await button(page, "Remove").click();
  await button(page.getByRole("dialog", { name: `Remove the certificate of ${name}` }), "Remove").click();
  await page.getByText(`The uploaded certificate of ${name} is gone.`).waitFor();
  await page.getByText("No certificate", { exact: true }).waitFor();
});

// === Limits and access ===

check("limits hold for new handshakes", async () => {
  const name = await fresh("limits.example.com");
  const page = await (await signIn("operate")).page(`/domains/${name}/limits`);
  await refuses(page, "Connections", "0", "0 is not accepted");
  await page.getByLabel("Connections", { exact: true }).fill("1");
  await refuses(page, "Longest life", "soon", "accepted: a duration from");
  await page.getByLabel("Longest life").fill("");
  await refuses(page, "Size of a message", "64 elephants", "accepted: a number of bytes");
  await page.getByLabel("Size of a message").fill("1KiB");
  await page.getByLabel("Strict frames").uncheck();
  await apply(page, "+max_connections = 1", '+max_message = "1KiB"', "+strict_frames = false");
  const first = await connect(name);
  assert.equal(first.status, 101);
  assert.equal((await connect(name)).status, 429);
  first.socket.send("x".repeat(2000));
  assert.equal((await first.closed).code, 1009);
  await page.getByLabel("Connections", { exact: true }).fill("");
  await apply(page, "-max_connections = 1");
  for (let i = 0; i < 2; i++) assert.equal((await connect(name)).status, 101);
});

check("access is by page and by network", async () => {
  const name = await fresh("access.example.com");
  const page = await (await signIn("operate")).page(`/domains/${name}/access`);
  await page.getByLabel("Denied").fill("192.0.2.0/24\nnot a network");
  allow(page, 422);
  await review(page).click();
  await error(page, "Denied").getByText(/entry 2: .*accepted: /).waitFor();
  await page.getByLabel("Denied").fill("127.0.0.66");
  await page.getByLabel("Allowed Origin headers", { exact: true }).selectOption("The list below");
  await page.getByLabel("Allowed Origin headers, list").fill("https://app.example.com");
  await apply(page, '+deny = ["127.0.0.66"]', '+allowed_origins = ["https://app.example.com"]');
  const from = (origin, address = "127.0.0.1") =>
    connect(name, { from: address, headers: { Origin: origin } });
  assert.equal((await from("https://app.example.com")).status, 101);
  assert.equal((await from("https://evil.example.com")).status, 403);
  assert.equal((await from("https://app.example.com", "127.0.0.66")).status, 403);
  const list = page.getByLabel("Allowed Origin headers, list");
  assert.equal(await list.inputValue(), "https://app.example.com");
  await page.getByLabel("Allowed Origin headers", { exact: true }).selectOption("any");
  await apply(page, '-allowed_origins = ["https://app.example.com"]');
  assert.equal((await from("https://evil.example.com")).status, 101);
});

// === The file, the history ===

check("the file is edited as it is, and errors name their line", async () => {
  const name = await fresh("file.example.com");
  const page = await (await signIn("operate")).page(`/domains/${name}/file`, { allowed: [422] });
  const area = page.getByLabel("Text of the file");
  const text = await area.inputValue();
  await area.fill(`${text}[websocket]\nheartbeat = 301\n`);
  await review(page).click();
  const line = text.split("\n").length + 1;
  await page.getByRole("alert").getByText(new RegExp(`Line ${line}: websocket.heartbeat: 301`)).waitFor();
  await area.fill(`${text}[nonsense`);
  await review(page).click();
  await page.getByRole("alert").getByText(new RegExp(`Line ${line - 1}:`)).waitFor();
  await area.fill(`# kept as it is\n${text}[access]\ndeny = ["192.0.2.0/24"] # a test\n`);
  await apply(page, "+# kept as it is", '+deny = ["192.0.2.0/24"] # a test');
  assert.ok((await area.inputValue()).startsWith("# kept as it is\n"));
});

check("the history tells who did what, and an admin goes back to it", async () => {
  const name = await fresh("history.example.com");
  await patched(name, { websocket: { heartbeat: 7 } });
  await patched(name, { websocket: { heartbeat: 8 } });
  const operator = await (await signIn("operate")).page(`/domains/${name}/history`);
  assert.equal(await operator.getByRole("button", { name: /Roll back/ }).count(), 0);
  const page = await (await signIn("admin")).page(`/domains/${name}/history`, { allowed: [412] });
  const entries = page.getByRole("main").getByRole("listitem").filter({ hasText: "entry" });
  assert.equal(await entries.count(), 3);
  await entries.first().getByText("via api").waitFor();
  await entries.first().getByText(/\+08:00/).waitFor();
  await entries.first().getByText("Difference").click();
  await entries.first().getByText("+heartbeat = 8", { exact: true }).waitFor();
  await screenshot(page, "domains-history");
  await entries.nth(1).getByRole("button", { name: /Roll back/ }).click();
  const dialog = page.getByRole("dialog", { name: `Roll ${name} back` });
  await dialog.getByText("+heartbeat = 7", { exact: true }).waitFor();
  await patched(name, { websocket: { heartbeat: 9 } });
  await button(dialog, "Roll back").click();
  await page.getByText("Somebody changed it meanwhile.").waitFor();
  await page.getByText("-heartbeat = 9", { exact: true }).waitFor();
  await button(page, "Roll back").click();
  await page.getByText(/is what it was after entry/).waitFor();
  assert.equal((await api.read(`/domains/${name}`)).websocket.heartbeat, 7);
  await page.getByText("via console from 127.0.0.1").first().waitFor();
});

// === Start, stop, delete ===

check("a domain is stopped, started, and deleted by its name", async () => {
  const name = await fresh("gone.example.com");
  const page = await (await signIn("operate")).page(`/domains/${name}`, { allowed: [422] });
  const client = await connect(name);
  await button(page, "Stop").click();
  await button(page.getByRole("dialog", { name: `Stop ${name}` }), "Stop").click();
  await page.getByText(`${name} is stopped.`).waitFor();
  await client.closed;
  assert.equal(await ask(name), 421);
  await button(page, "Start").click();
  await button(page.getByRole("dialog"), "Start").click();
  await page.getByText(`${name} is online.`).waitFor();
  assert.equal((await connect(name)).status, 101);
  await page.getByLabel("Name of the domain").fill("gone.example.org");
  await button(page, "Delete").click();
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
  assert.equal((await connect(name)).status, 101);
});

// === Who may what, and without scripts ===

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
  assert.equal((await connect(name)).status, 101);
  assert.equal((await api.send("GET", "/domains/x.test")).status, 404);
});

check("a form of another page is not taken", async () => {
  const someone = await signIn("admin");
  for (const path of ["/domains/live.example.com/stop", "/add-domain", "/change-domains"]) {
    const answer = await someone.ask("POST", `/console${path}`, { form: { csrf: "x", step: "apply" } });
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
  await page.getByRole("navigation", { name: "Pages of" }).getByRole("link", { name: "WebSocket" }).click();
  await page.getByRole("switch", { name: "WebSocket" }).click();
  await page.getByRole("heading", { name: "Turn off WebSocket of plain.example.com" }).waitFor();
  await button(page, "Back").click();
  assert.equal((await connect("plain.example.com")).status, 101);
  await page.getByRole("switch", { name: "WebSocket" }).click();
  await button(page, "Turn off").click();
  await page.getByText("WebSocket of plain.example.com is off.").waitFor();
  assert.equal((await connect("plain.example.com")).status, 200);
  await page.goto(`${stage.url}/console/domains?search=plain`);
  await page.getByLabel("plain.example.com", { exact: true }).check();
  await button(page, "WebSocket on").click();
  await button(page, "Apply").click();
  await page.getByText("WebSocket on: 1 domain changed.").waitFor();
  assert.equal((await connect("plain.example.com")).status, 101);
  await page.goto(`${stage.url}/console/domains/plain.example.com/history`);
  await page.getByRole("button", { name: /Roll back/ }).nth(1).click();
  await button(page, "Roll back").click();
  await page.getByText(/is what it was after entry/).waitFor();
});

check("every page is sound in every width and theme", async () => {
  const admin = await signIn("admin");
  const below = "/domains/live.example.com";
  const paths = ["/domains", "/add-domain", `${below}/websocket?modify=1`, ...TABS.map((tab) => below + tab)];
  for (const path of paths) {
    const name = path.replace(below, "/domain").replaceAll(/\W+/g, "-").slice(1);
    await everyWidthAndTheme(admin, path, async (page, { theme, width }) => {
      if (width !== 2560) await screenshot(page, `domains/${name}-${theme}-${width}`);
    });
  }
  const page = await admin.page(`${below}/limits`, { width: 360 });
  await page.getByLabel("Connections", { exact: true }).fill("5");
  await review(page).click();
  await button(page, "Apply").waitFor();
  await fits(page);
  await axe(page);
});
