// Forms of domains as somebody fills them in, and a domain of one's own to do it with. Not here:
// what they should say.

import assert from "node:assert/strict";

import { allow, rest, stage } from "./browser.mjs";

export const api = rest();

// A domain of one check alone, in front of the origin that is always there.
export async function fresh(name, more = {}) {
  const origin = [{ address: "127.0.0.1", port: stage.origin }];
  const { status, body } = await api.send("POST", "/domains", { name, origin, ...more });
  assert.equal(status, 201, JSON.stringify(body));
  return name;
}

export const patched = (name, patch) =>
  api.send("PATCH", `/domains/${name}`, patch, { "If-Match": "*" });
export const button = (page, name) => page.getByRole("button", { name, exact: true });
export const review = (page) =>
  page.getByRole("main").getByRole("button", { name: "Review change" }).last();
export const error = (page, label) =>
  page.locator(".field", { has: page.getByLabel(label, { exact: true }) }).locator(".error");

// From a form over its preview, which shows these lines, to the change.
export async function apply(page, ...lines) {
  await review(page).click();
  const diff = page.getByRole("region", { name: "Difference" });
  for (const line of lines) await diff.getByText(line, { exact: true }).waitFor();
  await button(page, "Apply").click();
  await page.getByText("was changed; it holds for new handshakes").waitFor();
}

// What a refused form says beside the field; what was typed is still there.
export async function refuses(page, label, typed, told) {
  await page.getByLabel(label, { exact: true }).fill(typed);
  allow(page, 422);
  await review(page).click();
  await error(page, label).getByText(told).waitFor();
  assert.equal(await page.getByLabel(label, { exact: true }).inputValue(), typed);
  assert.equal(await page.getByLabel(label, { exact: true }).getAttribute("aria-invalid"), "true");
}
