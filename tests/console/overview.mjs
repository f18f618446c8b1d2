// The page at /console/: figures that move with real traffic, and what it says when nothing moves.
// Not here: what every page has in common (pages.mjs, security.mjs).

import assert from "node:assert/strict";

import { allow, check, eventually, everyWidthAndTheme, rest, screenshot, signIn, stage, tabTo } from "./browser.mjs";
import { connect, crowd } from "./traffic.mjs";

const live = (page, name) => page.locator(`[data-live="${name}"]`);
const state = (page) => page.getByRole("main").locator("[data-live-state]");
const table = (page, name) => page.getByRole("table", { name });

async function opened(role = "admin", options = {}) {
  const someone = await signIn(role);
  const page = await someone.page("/", options);
  await state(page).filter({ hasText: "Live" }).waitFor();
  return page;
}

function reads(locator, text) {
  return eventually(`${locator}: ${text}`, async () => {
    const seen = await locator.innerText();
    return text instanceof RegExp ? text.test(seen) : seen === text;
  });
}

check("figures move with the traffic", async () => {
  const page = await opened();
  await reads(live(page, "connections"), "0");
  await page.getByText("No connection has ended yet").waitFor();
  const clients = await crowd("live.example.com", 5);
  await reads(live(page, "connections"), "5");
  await reads(table(page, "Busiest domains"), /live\.example\.com\s+5\s/);
  await reads(table(page, "Handshakes by code"), /101\s+opened\s+5\s/);

  let talking = true;
  const talk = clients.map(async (client) => {
    while (talking) await client.says("send 20000");
  });
  await reads(live(page, "out").locator(".."), /^[\d.]+ [KMG]bit\/s/);
  await reads(live(page, "messages"), /^[1-9]/);
  await reads(table(page, "Busiest domains"), /[\d.]+ [KMG]bit\/s/);
  await eventually("the load of a core", async () => {
    const loads = await page.locator('[data-cell="load"]').allInnerTexts();
    assert.equal(loads.length, 2);
    return loads.some((load) => /^(?!0\.0)[\d.]+ %$/.test(load));
  });
  const chart = page.getByRole("img", { name: /^Since this page was opened, bandwidth: now to clients [\d.]+ [KMG]bit/ });
  await chart.waitFor();
  talking = false;
  await Promise.all(talk);

  await clients[0].close();
  await reads(table(page, "Closes by cause"), /Peer close\s+1\s/);
  const answer = await rest().send("POST", "/connections/close", { domain: "live.example.com", code: 4001 });
  assert.equal(answer.status, 202, JSON.stringify(answer.body));
  await Promise.all(clients.slice(1).map((client) => client.closed));
  await reads(table(page, "Closes by cause"), /Killed\s+4\s/);
  await reads(live(page, "connections"), "0");
});

check("answers that are no 101 are told apart", async () => {
  const page = await opened("read");
  const said = await connect("live.example.com", { path: "/status/403" });
  assert.equal(said.status, 403);
  await reads(table(page, "Handshakes by code"), /403\s+refused\s+1\s/);
  const nobody = await connect("down.example.com");
  assert.ok([502, 503].includes(nobody.status), String(nobody.status));
  await reads(table(page, "Handshakes by code"), /50[23]\s+failed\s+1\s/);
  const facts = page.locator("dl.facts");
  await eventually("an origin is down", async () => {
    await page.reload();
    return /Origins\s+\d down.* of down\.example\.com/.test(await facts.innerText());
  });
  await reads(page.locator("dl.facts"), /Certificates\s+1 within 30 days secure\.example\.com ends in \d+ days/);
});

check("links lead to the domain and to its connections", async () => {
  const client = await connect("chat.example.com");
  const page = await opened();
  const row = page.getByRole("row", { name: /chat\.example\.com/ });
  await row.waitFor();
  const [name, connections] = await row.getByRole("link").all();
  assert.equal(await name.getAttribute("href"), "/console/domains/chat.example.com");
  assert.equal(await connections.getAttribute("href"), "/console/connections?domain=chat.example.com");
  await client.close();
});

check("it rests when it is told to, by keyboard too", async () => {
  const page = await opened();
  await reads(live(page, "connections"), "0");
  const button = page.getByRole("button", { name: "Pause" });
  await tabTo(page, button);
  await page.keyboard.press("Enter");
  await reads(state(page), "Paused");
  const client = await connect("live.example.com");
  await eventually("a look at the counters", async () => (await rest().read("/live/node")).connections === 1);
  assert.equal(await live(page, "connections").innerText(), "0");
  await page.keyboard.press("Enter");
  await reads(state(page), "Live");
  await reads(live(page, "connections"), "1");
  await client.close();
});

check("another line is drawn for whoever asks", async () => {
  const page = await opened();
  for (const [name, line] of [["Messages", "To clients"], ["Connections", "Open"], ["Bandwidth", "From clients"]]) {
    const button = page.getByRole("button", { name, exact: true });
    await tabTo(page, button);
    await page.keyboard.press("Space");
    assert.equal(await button.getAttribute("aria-pressed"), "true");
    assert.equal(await page.locator("[data-draw][aria-pressed=true]").count(), 1);
    await page.getByRole("img", { name: new RegExp(`opened, ${name.toLowerCase()}: `) }).waitFor();
    await reads(page.locator("[data-legend]"), new RegExp(line));
  }
});

check("an edge that does not answer is said to be reconnected to", async () => {
  const page = await opened();
  process.kill(stage.pid, "SIGSTOP");
  try {
    await reads(state(page), "Reconnecting…");
  } finally {
    process.kill(stage.pid, "SIGCONT");
  }
  await reads(state(page), "Live");
});

check("a stream that is over is followed by the next, and nobody notices", async () => {
  const page = await opened();
  await page.evaluate(() => {
    window.said = [];
    const shown = document.querySelector("main [data-live-state]");
    const note = () => window.said.push(shown.textContent);
    new MutationObserver(note).observe(shown, { childList: true, characterData: true, subtree: true });
  });
  await page.waitForRequest((request) => request.url().endsWith("/live/events"), { timeout: 40_000 });
  const uptime = await live(page, "uptime").innerText();
  await eventually("the next event", async () => (await live(page, "uptime").innerText()) !== uptime);
  assert.deepEqual(await page.evaluate(() => window.said), []);
});

check("whoever signs out elsewhere is told so", async () => {
  const someone = await signIn("read");
  const page = await someone.page("/");
  await reads(state(page), "Live");
  allow(page, 401);
  const form = { csrf: await someone.csrf() };
  assert.equal((await someone.ask("POST", "/console/sign-out", { form })).status, 303);
  await reads(state(page), /^Signed out:\s+sign in again$/);
  const link = state(page).getByRole("link", { name: "sign in again" });
  assert.equal(await link.getAttribute("href"), "/console/sign-in?next=%2Fconsole%2F");
});

check("it can be read without scripts", async () => {
  const client = await connect("live.example.com");
  const page = await (await signIn("read", { scripts: false })).page("/");
  await eventually("figures of the last second", async () => {
    await page.reload();
    return (await live(page, "connections").innerText()) === "1";
  });
  await reads(table(page, "Busiest domains"), /live\.example\.com\s+1\s/);
  await reads(page.locator("[data-averaged]"), /^Averages of the last [\d.]+ (ms|s)$/);
  for (const hidden of ["[data-live-pause]", "[data-live-state]", "#minutes"]) {
    assert.equal(await page.locator(`main ${hidden}`).isVisible(), false, hidden);
  }
  assert.equal(await page.getByRole("img", { name: /^Bandwidth to clients, last hour: peak / }).count(), 1);
  await client.close();
});

// Ten looks at the second-by-second chart; how many of them changed what is drawn.
async function drawings(page) {
  await page.getByRole("img", { name: /^Since this page was opened/ }).waitFor();
  return page.evaluate(async () => {
    const host = document.querySelector("#minutes [data-chart]");
    let changes = 0;
    let last;
    for (let looks = 0; looks < 10; looks++) {
      await new Promise((resolve) => {
        const observer = new MutationObserver(() => (observer.disconnect(), resolve()));
        observer.observe(host, { attributeFilter: ["aria-label"] });
      });
      await new Promise(requestAnimationFrame);
      const drawn = host.querySelector("canvas").toDataURL();
      changes += drawn === last ? 0 : 1;
      last = drawn;
    }
    return changes;
  });
}

check("the chart moves less often for who asked for less motion", async () => {
  const client = await connect("live.example.com");
  const someone = await signIn("read");
  const usual = await someone.page("/");
  const reduced = await someone.page("/", { motion: "reduce" });
  let bytes = 1000;
  const traffic = setInterval(() => client.says(`send ${(bytes += 1000)}`), 250);
  try {
    // A page behind another draws nothing: one after the other.
    await usual.bringToFront();
    const often = await drawings(usual);
    await reduced.bringToFront();
    const seldom = await drawings(reduced);
    assert.ok(often >= 8, `${often} of 10`);
    assert.ok(seldom <= 4, `${seldom} of 10`);
  } finally {
    clearInterval(traffic);
  }
  await client.close();
});

check("it is sound in every width and theme", async () => {
  const client = await connect("live.example.com");
  await client.says("send 100000");
  await everyWidthAndTheme(await signIn("admin"), "/", async (page, { theme, width }) => {
    await page.getByRole("img", { name: /^Since this page was opened/ }).waitFor();
    await screenshot(page, `overview-${theme}-${width}`);
  });
  await client.close();
});

// Last, since it takes away what the others need.
check("it says what to do where there is nothing to show", async () => {
  const { send, read } = rest();
  const names = (await read("/domains")).items.map(({ name }) => name);
  const page = await opened("operate");
  for (const name of names) {
    const { status } = await send("PUT", `/domains/${name}/websocket`, { enabled: false }, { "If-Match": "*" });
    assert.equal(status, 200);
  }
  await page.reload();
  await page.getByText("WebSocket is off for every domain").waitFor();
  for (const name of names) {
    assert.equal((await send("DELETE", `/domains/${name}`, undefined, { "If-Match": "*" })).status, 200);
  }
  await page.reload();
  await page.getByText("No domain yet").waitFor();
  assert.equal(await page.getByRole("link", { name: "Add a domain" }).getAttribute("href"), "/console/add-domain");
  await screenshot(page, "overview-empty");
  const reader = await opened("read");
  await reader.getByText("A key with the role operate can add one").waitFor();
  assert.equal(await reader.getByRole("link", { name: "Add a domain" }).count(), 0);
});
