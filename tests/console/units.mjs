// Figures in scripts read as those of pages do: one table for both (units.json, and the test in
// src/control/console/units.rs).

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { check, visitor } from "./browser.mjs";

const table = JSON.parse(readFileSync(new URL("units.json", import.meta.url), "utf8"));

check("figures read as the table has them", async () => {
  const page = await (await visitor()).page("/sign-in");
  const seen = await page.evaluate(async (table) => {
    const folder = new URL("units.js", document.querySelector("script[type=module]").src);
    const units = await import(folder);
    const writers = { ...units, bits_per_second: units.bitsPerSecond, time: ([at, offset]) => units.time(at, offset) };
    const written = (name) => table[name].map(([value]) => [value, writers[name](value)]);
    return Object.fromEntries(Object.keys(table).map((name) => [name, written(name)]));
  }, table);
  assert.deepEqual(seen, table);
});
