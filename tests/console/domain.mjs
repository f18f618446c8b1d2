// The pages of one domain: forms with good and bad input, previews and conflicts, and that what
// they say is what clients meet.
//
// Not here: the list of domains and the form that adds one (domains.mjs).

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";

import {
  allow, answered, axe, check, eventually, everyWidthAndTheme, fits, screenshot, signIn, stage, tabTo,
  takesFocus,
} from "./browser.mjs";
import { api, apply, button, error, fresh, patched, refuses, review } from "./forms.mjs";
import { connect, handshake } from "./traffic.mjs";

const PARTS = ["websocket", "origins", "certificates", "limits", "access", "file", "history"];
const TABS = ["", ...PARTS.map((part) => `/${part}`)];

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
  await takesFocus(toggle);
  assert.equal(await handshake(name), 101);
  await toggle.click();
  await answered(page, button(dialog, "Turn off"));
  await page.getByText(`WebSocket of ${name} is off.`).waitFor();
  assert.equal(await toggle.getAttribute("aria-checked"), "false");
  assert.equal(await handshake(name), 200, "Upgrade was taken out: the origin says hello");
  assert.ok(open.isOpen, "what is open stays");
  await open.close();
  await toggle.click();
  await button(page.getByRole("dialog"), "Turn on").click();
  await page.getByText(`WebSocket of ${name} is on.`).waitFor();
  assert.equal(await handshake(name), 101);
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

check("origins are added, changed and removed", async () => {
  const name = await fresh("origins.example.com");
  const page = await (await signIn("operate")).page(`/domains/${name}/origins`);
  await page.getByRole("cell", { name: "up", exact: true }).first().waitFor();
  await button(page, "Add an origin").click();
  const second = page.getByRole("group", { name: "Origin 2" });
  const focused = second.getByLabel("Address or name");
  await takesFocus(focused);
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
    await answered(page, button(page, "Upload"));
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
  for (const [label, text] of [["Certificate chain", chain], ["Private key", key]]) {
    const field = page.getByLabel(label, { exact: true });
    await eventually(`the file in ${label}`, async () => (await field.inputValue()).trim() === text.trim());
  }
  await answered(page, button(page, "Upload"));
  await page.getByText(`The certificate of ${name} holds for new connections.`).waitFor();
  await page.getByText(/^(19|20) days left$/).waitFor();
  await page.getByText("uploaded", { exact: true }).waitFor();
  const text = await page.content();
  assert.ok(!text.includes(key.split("\n")[1]), "the key is on the page");
  await screenshot(page, "domains-certificate");
  await button(page, "Remove").click();
  const dialog = page.getByRole("dialog", { name: `Remove the certificate of ${name}` });
  await button(dialog, "Remove").click();
  await page.getByText(`The uploaded certificate of ${name} is gone.`).waitFor();
  await page.getByText("No certificate", { exact: true }).waitFor();
});

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
  assert.equal(await handshake(name), 429);
  first.socket.send("x".repeat(2000));
  assert.equal((await first.closed).code, 1009);
  await page.getByLabel("Connections", { exact: true }).fill("");
  await apply(page, "-max_connections = 1");
  const both = [await connect(name), await connect(name)];
  for (const client of both) {
    assert.equal(client.status, 101);
    await client.close();
  }
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
    handshake(name, { from: address, headers: { Origin: origin } });
  assert.equal(await from("https://app.example.com"), 101);
  assert.equal(await from("https://evil.example.com"), 403);
  assert.equal(await from("https://app.example.com", "127.0.0.66"), 403);
  const list = page.getByLabel("Allowed Origin headers, list");
  assert.equal(await list.inputValue(), "https://app.example.com");
  await page.getByLabel("Allowed Origin headers", { exact: true }).selectOption("any");
  await apply(page, '-allowed_origins = ["https://app.example.com"]');
  assert.equal(await from("https://evil.example.com"), 101);
});

check("the file is edited as it is, and errors name their line", async () => {
  const name = await fresh("file.example.com");
  const page = await (await signIn("operate")).page(`/domains/${name}/file`, { allowed: [422] });
  const area = page.getByLabel("Text of the file");
  const text = await area.inputValue();
  await area.fill(`${text}[websocket]\nheartbeat = 301\n`);
  await review(page).click();
  const line = text.split("\n").length + 1;
  const alert = page.getByRole("alert");
  await alert.getByText(new RegExp(`Line ${line}: websocket.heartbeat: 301`)).waitFor();
  await area.fill(`${text}[nonsense`);
  await review(page).click();
  await alert.getByText(new RegExp(`Line ${line - 1}:`)).waitFor();
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

check("every page is sound in every width and theme", async () => {
  const admin = await signIn("admin");
  const below = "/domains/live.example.com";
  const paths = [`${below}/websocket?modify=1`, ...TABS.map((tab) => below + tab)];
  for (const path of paths) {
    const name = path.replace(below, "/domain").replaceAll(/\W+/g, "-").slice(1);
    await everyWidthAndTheme(admin, path, async (page, { theme, width }) => {
      if (width !== 2560) await screenshot(page, `${name}-${theme}-${width}`);
    });
  }
  const page = await admin.page(`${below}/limits`, { width: 360 });
  await page.getByLabel("Connections", { exact: true }).fill("5");
  await review(page).click();
  await button(page, "Apply").waitFor();
  await fits(page);
  await axe(page);
});
