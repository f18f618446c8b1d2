// The page at /console/health: what it tells of a node that does well and of one that does not,
// reload and drain. Not here: what every page has in common (pages.mjs, security.mjs), what is
// looked at (tests/it/cli.rs, tests/it/api.rs).

import assert from "node:assert/strict";
import { appendFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";

import {
  allow,
  answered,
  axe,
  check,
  eventually,
  everyWidthAndTheme,
  hawser,
  rest,
  screenshot,
  signIn,
  stage,
  tabTo,
} from "./browser.mjs";
import { connect, origin } from "./traffic.mjs";

const DOMAINS = path.join(path.dirname(stage.config), "domains");
const file = (name) => path.join(DOMAINS, `${name}.toml`);

// The part of the page below this heading.
const part = (page, heading) =>
  page.locator("section").filter({ has: page.getByRole("heading", { name: heading, exact: true }) });
const fact = (where, name) => where.locator(`dt:text-is("${name}") + dd`);

// The health check of the stage looks every second, and needs a few to be sure.
async function someoneIsDown() {
  await eventually("an origin that is down", async () => {
    const { items } = await rest().read("/origins?domain=down.example.com");
    return items.some((one) => !one.tls && !one.up);
  });
}

check("it is sound in every width and theme", async () => {
  await someoneIsDown();
  await everyWidthAndTheme(await signIn("admin"), "/health", async (page, { theme, width }) => {
    await part(page, "Origins").getByRole("row", { name: /down\.example\.com/ }).first().waitFor();
    await screenshot(page, `health-${theme}-${width}`);
  });
});

check("it tells of the process", async () => {
  const open = await connect("live.example.com");
  assert.equal(open.status, 101);
  await eventually("it is counted", async () => (await rest().read("/status")).connections > 0);
  const page = await (await signIn("read")).page("/health");
  const status = await rest().read("/status");
  const figures = page.locator("main > dl");
  assert.match(await fact(figures, "State").innerText(), /Serving/);
  assert.match(await fact(figures, "Version").innerText(), new RegExp(status.version));
  assert.match(await fact(figures, "Open connections").innerText(), /^[1-9]/);
  assert.match(await fact(figures, "Up for").innerText(), /^\d+/);
  const process = part(page, "Process");
  assert.equal(await fact(process, "Listens").innerText(), status.listen.join(", "));
  assert.equal(await fact(process, "Listens with TLS").innerText(), status.listen_tls.join(", "));
  assert.equal(await fact(process, "Process id").innerText(), String(stage.pid));
  const log = part(page, "Access log");
  assert.equal(await fact(log, "Lines lost").innerText(), "0");
  await log.getByText("Nothing lost").waitFor();
  await open.close();
});

check("statistics are written, and the page says when, in the node's time", async () => {
  await eventually("written statistics", async () => {
    return (await rest().read("/status")).statistics.last_written;
  });
  const page = await (await signIn("read")).page("/health");
  const written = fact(part(page, "Statistics"), "Last written");
  assert.match(await written.innerText(), /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+08:00$/);
});

check("origins: those that are down, and all on demand", async () => {
  await someoneIsDown();
  const page = await (await signIn("read")).page("/health");
  const card = part(page, "Origins");
  const row = card.getByRole("row", { name: /down\.example\.com/ }).first();
  await row.getByText("Down", { exact: true }).waitFor();
  assert.equal(await card.getByText("Up", { exact: true }).count(), 0);
  const all = card.getByRole("link", { name: "All" });
  await tabTo(page, all);
  await page.keyboard.press("Enter");
  await page.waitForURL("**/health?origins=all");
  await card.getByRole("row", { name: /live\.example\.com.*Up/ }).first().waitFor();
  assert.equal(await all.getAttribute("aria-current"), "page");
  await card.getByRole("link", { name: "live.example.com" }).first().click();
  await page.waitForURL("**/console/domains/live.example.com");
});

check("an origin that comes back is up", async () => {
  const one = await origin();
  const document = {
    name: "again.example.com",
    websocket: { enabled: true, origin_scheme: "http" },
    origin: [{ address: "127.0.0.1", port: one.port }],
  };
  assert.equal((await rest().send("POST", "/domains", document)).status, 201);
  const someone = await signIn("read");
  const shown = async (word) => {
    const page = await someone.page("/health?origins=all");
    const row = part(page, "Origins").getByRole("row", { name: /again\.example\.com/ });
    const text = (await row.allInnerTexts()).join("\n");
    await page.close();
    return text.includes(`127.0.0.1:${one.port}`) && text.includes(word);
  };
  await eventually("up", () => shown("Up"));
  await one.close();
  await eventually("down", () => shown("Down"));
  const again = await origin(one.port);
  await eventually("up again", () => shown("Up"));
  await again.close();
  const gone = await rest().send("DELETE", "/domains/again.example.com", undefined, { "If-Match": "*" });
  assert.ok(gone.status < 300, JSON.stringify(gone.body));
});

check("what doctor finds stands first, with what to do", async () => {
  const report = await rest().read("/doctor");
  const page = await (await signIn("read")).page("/health");
  const card = part(page, "This machine");
  await card.getByText(`${report.connections.allowed.toLocaleString("en")} connections`).waitFor();
  const findings = report.items.filter((item) => item.state !== "ok");
  for (const { name, fix } of findings) {
    const row = card.getByRole("row").filter({ has: page.getByRole("rowheader", { name }) }).first();
    if (fix) assert.ok((await row.innerText()).includes(fix), `${fix} for ${name}`);
  }
  const fine = report.items.length - findings.length;
  if (fine > 0) {
    const more = card.getByText(`${fine} that are as they should be`);
    await tabTo(page, more);
    await page.keyboard.press("Enter");
    await card.getByRole("region", { name: "What is as it should be" }).waitFor();
  }
  await axe(page);
});

check("certificates: those that end soon, and all on demand", async () => {
  const page = await (await signIn("read")).page("/health");
  const card = part(page, "Certificates");
  const row = card.getByRole("row", { name: /secure\.example\.com/ });
  await row.getByText(/^(19|20) days$/).waitFor();
  await row.getByText(/\+08:00/).waitFor();
  await card.getByRole("link", { name: "All" }).click();
  await page.waitForURL("**/health?certificates=all");
  await row.waitFor();
});

check("a reload shows first what it changes, and then changes it", async () => {
  const before = readFileSync(file("chat.example.com"), "utf8");
  const operator = await signIn("operate");
  try {
    const page = await operator.page("/health");
    const card = part(page, "Configuration");
    await card.getByText("a reload would change nothing").waitFor();
    const generation = Number(await fact(card, "Generation").innerText());
    appendFileSync(file("chat.example.com"), "\n[websocket]\nheartbeat = 77\n");
    const added = before.replaceAll("chat.example.com", "added.example.com");
    writeFileSync(file("added.example.com"), added);
    await page.reload();
    await card.getByText("something else than what is live").waitFor();
    await card.getByText("added.example.com").waitFor();
    const diff = card.getByRole("region", { name: "Difference" });
    assert.match(await diff.innerText(), /^\+.*heartbeat = 77$/m);
    await axe(page);
    await screenshot(page, "health-differences-light-1280");
    await tabTo(page, card.getByRole("button", { name: "Reload the files" }));
    await page.keyboard.press("Enter");
    await page.getByRole("status").getByText(/The files are live: generation \d+, 1 added/).waitFor();
    await card.getByText("a reload would change nothing").waitFor();
    assert.ok(Number(await fact(card, "Generation").innerText()) > generation);
    assert.equal((await rest().read("/domains/chat.example.com")).websocket.heartbeat, 77);
    assert.equal((await connect("added.example.com")).status, 101);
  } finally {
    writeFileSync(file("chat.example.com"), before);
    rmSync(file("added.example.com"), { force: true });
    await hawser("reload");
  }
});

check("files that are not accepted are named with their place, and change nothing", async () => {
  const before = readFileSync(file("chat.example.com"), "utf8");
  const hash = (await rest().read("/status")).hash;
  const operator = await signIn("operate");
  try {
    appendFileSync(file("chat.example.com"), "\n[websocket]\nheartbeat = 301\n");
    const page = await operator.page("/health");
    const card = part(page, "Configuration");
    const wrong = card.getByRole("alert");
    for (const word of ["heartbeat", "301", "from 1 to 300", "chat.example.com"]) {
      assert.ok((await wrong.innerText()).includes(word), `${word}: ${await wrong.innerText()}`);
    }
    await screenshot(page, "health-refused-light-1280");
    allow(page, 422);
    await card.getByRole("button", { name: "Reload the files" }).click();
    await wrong.getByText("from 1 to 300").first().waitFor();
    assert.equal(new URL(page.url()).pathname, "/console/health/reload");
    await axe(page);
    assert.equal((await rest().read("/status")).hash, hash);
  } finally {
    writeFileSync(file("chat.example.com"), before);
  }
});

check("a window that is none is told beside its field, and nothing drains", async () => {
  const operator = await signIn("operate");
  const page = await operator.page("/health", { allowed: [422] });
  const window = page.getByLabel("Window");
  for (const text of ["3601", "-1"]) {
    await window.fill(text);
    await page.getByRole("button", { name: "Drain this node" }).click();
    const dialog = page.getByRole("dialog");
    await answered(page, dialog.getByRole("button", { name: "Drain this node" }));
    await page.getByText("a number of seconds from 0 to 3600, or nothing").waitFor();
    assert.equal(await window.inputValue(), text);
    assert.equal(await window.getAttribute("aria-invalid"), "true");
  }
  await axe(page);
  const csrf = await operator.csrf();
  const form = { csrf, window: "soon", confirmed: "yes" };
  const answer = await operator.ask("POST", "/console/health/drain", { form });
  assert.equal(answer.status, 422);
  assert.equal((await rest().read("/status")).phase, "serving");
});

check("a drain asks first, and the way out does nothing", async () => {
  const operator = await signIn("operate");
  const page = await operator.page("/health");
  await tabTo(page, page.getByRole("button", { name: "Drain this node" }));
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.getByText("closes every connection").waitFor();
  await axe(page);
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  // Without scripts a page asks.
  const plain = await signIn("operate", { scripts: false });
  const bare = await plain.page("/health");
  await bare.getByLabel("Window").fill("5");
  await bare.getByRole("button", { name: "Drain this node" }).click();
  await bare.getByRole("heading", { name: "Drain this node?" }).waitFor();
  await bare.getByRole("link", { name: "Cancel" }).click();
  await bare.getByRole("heading", { level: 1, name: "Health" }).waitFor();
  assert.equal((await rest().read("/status")).phase, "serving");
});

// The last one: nothing is there any more.
check("a drain closes what is open and ends the process", async () => {
  const open = await connect("live.example.com");
  const operator = await signIn("operate");
  const page = await operator.page("/health");
  await page.getByLabel("Window").fill("0");
  await page.getByRole("button", { name: "Drain this node" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Drain this node" }).click();
  await page.getByRole("heading", { level: 1, name: "Draining" }).waitFor();
  assert.equal((await open.closed).code, 1001);
  await eventually("no process that answers", async () => {
    return fetch(`${stage.url}/healthz`).then(() => false, () => true);
  });
});
