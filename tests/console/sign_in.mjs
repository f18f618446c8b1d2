// Signing in and out, sessions and their cookie, light and dark, the way through every page by
// keyboard, with and without scripts. Not here: what every page has in common (pages.mjs).

import assert from "node:assert/strict";

import {
  allow,
  answered,
  check,
  everyWidthAndTheme,
  fits,
  rest,
  screenshot,
  signIn,
  stage,
  tabTo,
  takesFocus,
  THEMES,
  visitor,
} from "./browser.mjs";

const halves = (key) => key.split(".");

async function fillIn(page, id, secret) {
  await page.getByLabel("Access key id").fill(id);
  await page.getByLabel("Access key secret").fill(secret);
  await page.getByRole("button", { name: "Sign in" }).click();
}

// A key of its own, for those who take it away again.
async function newKey(name, role) {
  const { status, body } = await rest().send("POST", "/keys", { name, role });
  assert.equal(status, 201);
  return body;
}

check("it is sound in every width and theme", async () => {
  await everyWidthAndTheme(await visitor(), "/sign-in", async (page, { theme, width }) => {
    await page.getByRole("heading", { name: "Sign in", level: 1 }).waitFor();
    const id = page.getByLabel("Access key id");
    assert.equal(await id.getAttribute("autocomplete"), "username");
    await takesFocus(id);
    const secret = page.getByLabel("Access key secret");
    assert.equal(await secret.getAttribute("type"), "password");
    assert.equal(await secret.getAttribute("autocomplete"), "current-password");
    await screenshot(page, `sign-in-${theme}-${width}`);
  });
});

check("a wrong secret is told, counted and not shown", async () => {
  const [id] = halves(stage.keys.read);
  const counted = async () => {
    const text = await (await fetch(`${stage.url}/metrics`)).text();
    const line = text.match(/^hawser_sign_ins_failed\S*api="console",reason="wrong_secret"\S* (\d+)/m);
    return line ? Number(line[1]) : 0;
  };
  const before = await counted();
  const page = await (await visitor()).page("/sign-in", { allowed: [403] });
  await fillIn(page, id, "not-the-secret");
  await page.getByRole("alert").getByText("No access key in force has this id and secret.").waitFor();
  assert.equal(await page.getByLabel("Access key id").inputValue(), id);
  assert.equal(await page.getByLabel("Access key secret").inputValue(), "");
  const secret = page.getByLabel("Access key secret");
  await takesFocus(secret);
  assert.equal(await secret.getAttribute("aria-invalid"), "true");
  assert.ok(!(await page.content()).includes("not-the-secret"));
  for (const theme of THEMES) {
    await page.emulateMedia({ colorScheme: theme });
    await screenshot(page, `sign-in-refused-${theme}`);
  }
  assert.equal(await counted(), before + 1);
});

check("a whole key in the wrong field is not shown either", async () => {
  const page = await (await visitor()).page("/sign-in", { allowed: [403] });
  await fillIn(page, `${stage.keys.read}x`, "");
  await page.getByText("No access key in force").waitFor();
  assert.ok(!(await page.content()).includes(halves(stage.keys.read)[1]));
});

check("nothing typed is asked for", async () => {
  const page = await (await visitor()).page("/sign-in", { allowed: [422] });
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("Enter the id and the secret of an access key.").waitFor();
});

check("a key signs in and leads to the page that was wanted, by keyboard", async () => {
  const someone = await visitor();
  const page = await someone.page("/domains?search=live");
  await page.waitForURL("**/console/sign-in?next=*");
  const [id, secret] = halves(stage.keys.admin);
  await takesFocus(page.getByLabel("Access key id"));
  await page.keyboard.type(id);
  await page.keyboard.press("Tab");
  await page.keyboard.type(secret);
  await page.keyboard.press("Enter");
  await page.waitForURL(`${stage.url}/console/domains?search=live`);
  const cookies = await someone.context.cookies();
  const session = cookies.find(({ name }) => name === "hawser_session");
  const { httpOnly, sameSite, path, expires, secure } = session;
  const flags = { httpOnly: true, sameSite: "Lax", path: "/", expires: -1, secure: false };
  assert.deepEqual({ httpOnly, sameSite, path, expires, secure }, flags, "plain on loopback");
  assert.equal(await page.evaluate(() => document.cookie), "", "no script sees the session");
  await page.goto(`${stage.url}/console/sign-in?next=/console/keys`);
  await page.waitForURL(`${stage.url}/console/keys`);
});

check("the whole key alone signs in, in either field", async () => {
  for (const [id, secret] of [[stage.keys.read, ""], ["", stage.keys.read]]) {
    const page = await (await visitor()).page("/sign-in");
    await fillIn(page, id, secret);
    await page.waitForURL(`${stage.url}/console/`);
  }
});

check("nobody is sent to another site", async () => {
  for (const next of ["https://evil.test/", "//evil.test", "/\\evil.test", "/console/\\evil.test"]) {
    const page = await (await visitor()).page(`/sign-in?next=${encodeURIComponent(next)}`);
    await fillIn(page, "", stage.keys.read);
    await page.waitForURL(`${stage.url}/console/`);
  }
});

check("signing out ends the session on the spot", async () => {
  const someone = await signIn("operate");
  const page = await someone.page("/");
  await page.getByRole("button", { name: /, account$/ }).click();
  const sheet = page.getByRole("dialog", { name: "Account" });
  await sheet.locator(".badge").getByText("operate").waitFor();
  await sheet.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL("**/console/sign-in");
  assert.ok(!(await someone.context.cookies()).some(({ name }) => name === "hawser_session"));
  const answer = await someone.ask("GET", "/console/domains");
  assert.equal(answer.status, 303);
  assert.equal(answer.headers.get("location"), "/console/sign-in?next=%2Fconsole%2Fdomains");
  assert.equal((await someone.ask("GET", "/api/v1/status")).status, 401);
});

check("the session of a revoked key is over at once, and signing in anew leads back", async () => {
  const { access_key_id: id, bearer } = await newKey("short", "read");
  // A page without a stream: that would be told 401 and lead to the sign-in by itself.
  const page = await (await visitor()).page("/sign-in?next=/console/audit");
  await fillIn(page, "", bearer);
  await page.waitForURL(`${stage.url}/console/audit`);
  assert.equal((await rest().send("DELETE", `/keys/${id}`)).status, 200);
  const menu = page.getByRole("navigation", { name: "Main" });
  await menu.getByRole("link", { name: "Health" }).click();
  await page.waitForURL("**/console/sign-in?next=*");
  await page.getByText("Your session is over.").waitFor();
  await fillIn(page, "", stage.keys.read);
  await page.waitForURL(`${stage.url}/console/health`);
});

check("nothing is done without the token of the session", async () => {
  const someone = await signIn("admin");
  const names = async () => (await rest().read("/keys")).items.map(({ name }) => name);
  const before = await names();
  for (const csrf of [undefined, "", "x".repeat(43)]) {
    const form = { name: "forged", role: "admin", ...(csrf !== undefined && { csrf }) };
    const answer = await someone.ask("POST", "/console/keys", { form });
    assert.equal(answer.status, 403);
    assert.match(await answer.text(), /Nothing was done/);
    const headers = csrf === undefined ? {} : { "X-Csrf-Token": csrf };
    const json = { name: "forged", role: "admin" };
    assert.equal((await someone.ask("POST", "/api/v1/keys", { json, headers })).status, 403);
  }
  const other = await (await signIn("admin")).csrf();
  const form = { name: "forged", role: "admin", csrf: other };
  assert.equal((await someone.ask("POST", "/console/keys", { form })).status, 403, "of another");
  const cross = { Origin: "https://evil.test", "Sec-Fetch-Site": "cross-site" };
  const forged = { form: { ...form, csrf: await someone.csrf() }, headers: cross };
  assert.equal((await someone.ask("POST", "/console/keys", forged)).status, 403, "of another site");
  assert.deepEqual(await names(), before);
});

check("each role sees what it may see", async () => {
  for (const role of ["read", "operate", "admin"]) {
    const someone = await signIn(role);
    const page = await someone.page("/");
    const links = page.getByRole("navigation", { name: "Main" }).getByRole("link");
    const keys = (await links.allInnerTexts()).includes("Access keys");
    assert.equal(keys, role === "admin", role);
    const answer = await someone.ask("GET", "/console/keys");
    assert.equal(answer.status, role === "admin" ? 200 : 403, role);
    await page.close();
  }
});

check("light and dark are chosen and kept", async () => {
  const someone = await signIn("read");
  const page = await someone.page("/health", { theme: "light" });
  const seen = () =>
    page.evaluate(() => [
      document.documentElement.dataset.theme,
      getComputedStyle(document.body).backgroundColor,
    ]);
  const [auto, light] = await seen();
  assert.equal(auto, "auto");
  const choose = async (name) => {
    await page.getByRole("button", { name: /, account$/ }).click();
    const button = page.getByRole("button", { name, exact: true });
    assert.equal(await button.getAttribute("aria-pressed"), "false");
    await answered(page, button);
    assert.match(page.url(), /\/console\/health$/, "the page it was chosen on");
  };
  await choose("Dark");
  const [dark, background] = await seen();
  assert.equal(dark, "dark");
  assert.notEqual(background, light);
  await page.goto(`${stage.url}/console/domains`);
  assert.deepEqual(await seen(), ["dark", background], "on other pages too");
  await page.emulateMedia({ colorScheme: "dark" });
  await page.goto(`${stage.url}/console/health`);
  await choose("Light");
  assert.deepEqual(await seen(), ["light", light], "whatever the system has");
});

check("where there is no room the menu is behind a button", async () => {
  for (const scripts of [true, false]) {
    const page = await (await signIn("read", { scripts })).page("/health", { width: 360 });
    const menu = page.getByRole("navigation", { name: "Main" });
    assert.ok(!(await menu.isVisible()));
    await tabTo(page, page.getByRole("button", { name: "Menu" }));
    await page.keyboard.press("Enter");
    await menu.waitFor();
    const here = menu.getByRole("link", { name: "Health" });
    assert.equal(await here.getAttribute("aria-current"), "page");
    await page.keyboard.press("Escape");
    await menu.waitFor({ state: "hidden" });
    await page.keyboard.press("Enter");
    await menu.getByRole("link", { name: "Audit log" }).click();
    await page.waitForURL("**/console/audit");
    await page.close();
  }
});

check("the first key press leads past the menu", async () => {
  const page = await (await signIn("read")).page("/audit");
  await page.keyboard.press("Tab");
  const skip = page.getByRole("link", { name: "Skip to content" });
  await takesFocus(skip);
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await takesFocus(page.locator("main :focus"));
});

check("without scripts one signs in, chooses dark and signs out", async () => {
  const page = await (await visitor({ scripts: false })).page("/sign-in");
  await fillIn(page, "", stage.keys.read);
  await page.waitForURL(`${stage.url}/console/`);
  await page.getByRole("button", { name: /, account$/ }).click();
  await page.getByRole("button", { name: "Dark" }).click();
  await page.locator("html[data-theme=dark]").waitFor();
  await fits(page);
  await page.getByRole("button", { name: /, account$/ }).click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL("**/console/sign-in");
});

check("a browser that opens the admin listener finds the console, a command line its text", async () => {
  const page = await (await visitor()).page("/sign-in");
  await page.goto(`${stage.url}/`);
  await page.waitForURL("**/console/sign-in?next=%2Fconsole%2F");
  const text = await (await fetch(`${stage.url}/`)).text();
  assert.match(text, /^hawser: /);
});

check("a page that is not there says so, within the console", async () => {
  const page = await (await signIn("read")).page("/nowhere", { allowed: [404] });
  allow(page, 404);
  await page.getByRole("heading", { name: "There is no such thing" }).waitFor();
  await page.getByRole("link", { name: "Go to the overview" }).click();
  await page.waitForURL(`${stage.url}/console/`);
});
