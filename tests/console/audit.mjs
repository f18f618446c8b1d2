// The page at /console/audit. Not here: what every page has in common (pages.mjs), the history of
// one domain (domains.mjs).

import assert from "node:assert/strict";

import { check, everyWidthAndTheme, rest, signIn, stage, tabTo } from "./browser.mjs";

const NAME = "audit.example.com";

async function change(heartbeat) {
  const { headers } = await rest().send("GET", `/domains/${NAME}`);
  const json = { websocket: { heartbeat } };
  const condition = { "If-Match": headers.get("etag"), "Content-Type": "application/merge-patch+json" };
  const { status, body } = await rest("operate").send("PATCH", `/domains/${NAME}`, json, condition);
  assert.equal(status, 200, JSON.stringify(body));
}

check("who did what is listed, and how it differs", async () => {
  const origin = [{ address: "127.0.0.1", port: stage.origin }];
  const { status } = await rest().send("POST", "/domains", { name: NAME, origin });
  assert.equal(status, 201);
  await change(30);
  const page = await (await signIn("admin")).page(`/audit?domain=${NAME}`);
  const rows = page.getByRole("region", { name: "Audit log, the newest first" }).getByRole("row");
  assert.equal(await rows.count(), 1 + 2, "a head and two entries");
  const newest = rows.nth(1);
  assert.match(await newest.innerText(), /change\s+audit\.example\.com\s+operate\s+api\s+\+\d+ −\d+/);
  await tabTo(page, newest.getByRole("link"));
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: /^Entry \d+: change$/ }).waitFor();
  await page.getByRole("region", { name: "Difference" }).getByText("+heartbeat = 30").waitFor();
  await page.getByRole("link", { name: "all by this author" }).click();
  const [author] = stage.keys.operate.split(".");
  await page.waitForURL(`**/console/audit?author=${author}`);
  assert.equal(await page.getByLabel("Key id or user").inputValue(), author);
});

check("it is sound in every width and theme", async () => {
  const someone = await signIn("admin");
  await everyWidthAndTheme(someone, "/audit");
  const { items } = await rest().read(`/audit?domain=${NAME}&limit=1`);
  await everyWidthAndTheme(someone, `/audit/${items[0].id}`);
});

check("the log is filtered, paged, and says when there is nothing", async () => {
  for (let heartbeat = 100; heartbeat < 151; heartbeat++) await change(heartbeat);
  const page = await (await signIn("read")).page("/audit");
  await page.getByLabel("Domain name").fill(NAME);
  await page.getByRole("button", { name: "Apply" }).click();
  await page.waitForURL(`**/console/audit?domain=${NAME}*`);
  const links = page.getByRole("region", { name: "Audit log, the newest first" }).getByRole("link");
  const first = await links.first().getAttribute("href");
  assert.equal(await links.count(), 50);
  await page.getByRole("link", { name: "Older" }).click();
  await page.waitForURL("**before=*");
  assert.ok(page.url().includes(`domain=${NAME}`), "the filter stays");
  assert.ok(await links.count() > 0);
  assert.notEqual(await links.first().getAttribute("href"), first);
  await page.getByRole("link", { name: "Newest" }).click();
  await links.first().waitFor();
  assert.equal(await links.first().getAttribute("href"), first);
  await page.getByLabel("Domain name").fill("nobody.example.com");
  await page.keyboard.press("Enter");
  await page.getByText("No entry is like that").waitFor();
  await page.getByRole("link", { name: "Show all entries" }).click();
  await page.waitForURL(`${stage.url}/console/audit`);
});

check("what nobody would type is refused as a page", async () => {
  const someone = await signIn("read");
  for (const [path, status] of [
    ["/audit?before=x", 400],
    [`/audit?author=${"x".repeat(65)}`, 400],
    ["/audit/999999999", 404],
    ["/audit/x", 404],
  ]) {
    const page = await someone.page(path, { allowed: [status] });
    await page.getByRole("alert").waitFor();
    await page.getByRole("link", { name: "Go to the overview" }).waitFor();
  }
});

check("only an admin is offered the way back, and sees first what it would change", async () => {
  const { items } = await rest().read(`/audit?domain=${NAME}&limit=50`);
  const { id } = items.at(-1);
  const button = (page) => page.getByRole("button", { name: "Roll back to this" });
  const other = await (await signIn("operate")).page(`/audit/${id}`);
  await other.getByRole("heading", { name: `Entry ${id}` }).waitFor();
  assert.equal(await button(other).count(), 0);
  const page = await (await signIn("admin")).page(`/audit/${id}`);
  await button(page).click();
  await page.getByRole("heading", { name: `Roll ${NAME} back` }).waitFor();
  await page.getByRole("button", { name: "Roll back" }).click();
  await page.getByText(`${NAME} is what it was after entry ${id}.`).waitFor();
  const { items: now } = await rest().read("/audit?limit=1");
  assert.equal(now[0].action, "rollback");
});
