// The page at /console/keys. Not here: what every page has in common (pages.mjs).

import assert from "node:assert/strict";

import {
  axe, check, everyWidthAndTheme, fits, rest, signIn, stage, tabTo, takesFocus, visitor,
} from "./browser.mjs";

const keys = async () => (await rest().read("/keys")).items;
const found = async (name) => (await keys()).filter((key) => key.name === name);
const bearer = (key) => ({ headers: { Authorization: `Bearer ${key}` } });

const radio = (page, role) => page.getByRole("radio", { name: new RegExp(`^${role}`) });

async function create(page, name, role) {
  await page.getByLabel("Name").fill(name);
  await radio(page, role).check();
  await page.getByRole("button", { name: "Create key" }).click();
}

check("it is sound in every width and theme", async () => {
  const table = ({ page }) => page.getByRole("region", { name: "Access keys in force" });
  await everyWidthAndTheme(await signIn("admin"), "/keys", async (page) => {
    await table({ page }).getByText("this session").waitFor();
  });
});

check("a key is made; its secret is shown this once", async () => {
  const someone = await signIn("admin");
  const page = await someone.page("/keys", { allowed: [201] });
  await someone.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await create(page, "deploy of the shop", "operate");
  await page.getByRole("heading", { name: 'Key "deploy of the shop" is made' }).waitFor();
  assert.equal(page.url(), `${stage.url}/console/keys`, "no secret in the address");
  const shown = await page.locator("#made-bearer").innerText();
  const [key] = await found("deploy of the shop");
  assert.equal(key.role, "operate");
  assert.equal(shown.split(".")[0], key.id);
  assert.equal((await fetch(`${stage.url}/api/v1/domains`, bearer(shown))).status, 200);
  await page.getByRole("button", { name: "Copy" }).nth(2).click();
  await page.getByRole("status").getByText("Copied.").waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), shown);
  for (const width of [360, 1280]) {
    await page.setViewportSize({ width, height: 800 });
    await fits(page);
    await axe(page);
  }
  await page.goto(`${stage.url}/console/keys`);
  assert.ok(!(await page.content()).includes(shown.split(".")[1]), "it cannot be read again");
  const { items } = await rest().read("/audit?limit=1");
  assert.ok(!JSON.stringify(items).includes(shown.split(".")[1]), "nor is it in the log");
});

check("what is wrong is told beside the field, and what was typed stays", async () => {
  const page = await (await signIn("admin")).page("/keys", { allowed: [422] });
  const before = (await keys()).length;
  const name = page.getByLabel("Name");
  await name.evaluate((field) => field.removeAttribute("required"));
  await create(page, " ", "admin");
  await page.getByText("accepted: 1 to 64 bytes").waitFor();
  assert.equal(await name.getAttribute("aria-invalid"), "true");
  await takesFocus(name);
  assert.ok(await radio(page, "admin").isChecked());
  const long = "x".repeat(65);
  await create(page, long, "read");
  await page.getByText("accepted: 1 to 64 bytes").waitFor();
  assert.equal(await page.getByLabel("Name").inputValue(), long);
  assert.equal((await keys()).length, before);
});

check("names are shown as they are, whatever stands in them", async () => {
  const name = `<img src=x onerror=alert(1)> & "co"`;
  const page = await (await signIn("admin")).page("/keys", { allowed: [201] });
  await create(page, name, "read");
  await page.getByRole("row").filter({ hasText: name }).first().waitFor();
  assert.equal(await page.locator("main img").count(), 0);
});

check("a key is revoked after a question, and is good for nothing at once", async () => {
  const { body: key } = await rest().send("POST", "/keys", { name: "leaver", role: "operate" });
  const holder = await visitor();
  const form = { id: "", secret: key.bearer, next: "/console/" };
  const signed = await holder.ask("POST", "/console/sign-in", { form });
  holder.cookie = signed.headers.get("set-cookie").split(";")[0];
  assert.equal((await holder.ask("GET", "/console/")).status, 200);
  const page = await (await signIn("admin")).page("/keys");
  const button = page.getByRole("button", { name: "Revoke leaver" });
  await button.click();
  const dialog = page.getByRole("dialog", { name: /will be refused from now on/ });
  const cancel = dialog.getByRole("button", { name: "Cancel" });
  await takesFocus(cancel);
  await page.keyboard.press("Enter");
  await dialog.waitFor({ state: "detached" });
  await takesFocus(button);
  assert.equal((await found("leaver"))[0].revoked, null, "it was taken back");
  await tabTo(page, button);
  await page.keyboard.press("Enter");
  await tabTo(page, dialog.getByRole("button", { name: "Revoke" }));
  await page.keyboard.press("Enter");
  await page.getByRole("status").getByText("(leaver) is revoked.").waitFor();
  const gone = page.getByRole("region", { name: "Access keys that were revoked" });
  await gone.getByText("leaver").waitFor();
  assert.equal((await holder.ask("GET", "/console/")).status, 303, "its session is over");
  assert.equal((await fetch(`${stage.url}/api/v1/status`, bearer(key.bearer))).status, 401);
});

check("without scripts a page asks the question", async () => {
  await rest().send("POST", "/keys", { name: "plain", role: "read" });
  const page = await (await signIn("admin", { scripts: false })).page("/keys");
  await page.getByRole("button", { name: "Revoke plain" }).click();
  await page.getByRole("heading", { name: "Revoke an access key" }).waitFor();
  await page.getByRole("link", { name: "Cancel" }).click();
  assert.equal((await found("plain"))[0].revoked, null);
  await page.getByRole("button", { name: "Revoke plain" }).click();
  await page.getByRole("button", { name: "Revoke" }).click();
  await page.getByText("(plain) is revoked.").waitFor();
});

check("the last admin key stays", async () => {
  const page = await (await signIn("admin")).page("/keys", { allowed: [409] });
  const last = (await keys()).filter((key) => key.role === "admin" && !key.revoked);
  const [id] = stage.keys.admin.split(".");
  for (const key of last.filter((key) => key.id !== id)) {
    assert.equal((await rest().send("DELETE", `/keys/${key.id}`)).status, 200);
  }
  await page.reload();
  const row = page.getByRole("row").filter({ hasText: id });
  await row.getByRole("button", { name: /^Revoke/ }).click();
  const dialog = page.getByRole("dialog", { name: /You are signed in with it/ });
  await dialog.getByRole("button", { name: "Revoke" }).click();
  await page.getByRole("alert").getByText("the last admin key").waitFor();
  assert.equal((await keys()).find((key) => key.id === id).revoked, null);
});
