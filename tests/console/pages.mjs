// Every page as each role sees it: all of it in both themes and three widths, without JavaScript as
// well, and how much a first view weighs. Screenshots of all pages go to
// target/console-screenshots.
//
// Not here: what one page does (its own script), what must not work (security.mjs).

import assert from "node:assert/strict";

import {
  allow,
  axe,
  check,
  crawl,
  eventually,
  everyWidthAndTheme,
  fits,
  hawser,
  ROLES,
  screenshot,
  signIn,
  stage,
  THEMES,
  WIDTHS,
} from "./browser.mjs";
import { ask, connect, crowd } from "./traffic.mjs";

// Path below /console, name in the navigation, heading, and the least role that may see it.
const PAGES = [
  ["/", "Overview", "Overview", "read"],
  ["/domains", "Domain names", "Domain names", "read"],
  ["/statistics", "Statistics", /statistics/i, "read"],
  ["/connections", "Live connections", "Live connections", "read"],
  ["/usage", "Usage and billing", "Usage and billing", "read"],
  ["/health", "Health", "Health", "read"],
  ["/keys", "Access keys", "Access keys", "admin"],
  ["/audit", "Audit log", "Audit log", "read"],
];

const may = (role, least) => ROLES.indexOf(role) >= ROLES.indexOf(least);

// Something to see: tunnels that stay, some that are over, refusals of several kinds.
const tunnels = await crowd("live.example.com", 12);
for (const tunnel of tunnels) await tunnel.says("send 20000");
for (const tunnel of await crowd("chat.example.com", 5)) await tunnel.close();
await connect("live.example.com", { path: "/status/403" });
await connect("down.example.com");
await ask("chat.example.com", "/status/404");
// What has just been counted is written every 10 s, or when the command line asks for usage.
await hawser("usage");

for (const role of ROLES) {
  check(`a key of the role ${role} sees its pages and no others`, async () => {
    const someone = await signIn(role);
    const page = await someone.page("/");
    const main = page.getByRole("navigation", { name: "Main" });
    for (const [path, entry, heading, least] of PAGES) {
      const link = main.getByRole("link", { name: entry, exact: true });
      assert.equal(await link.count(), may(role, least) ? 1 : 0, `${entry} for ${role}`);
      if (!may(role, least)) {
        const refused = await someone.page(path, { allowed: [403] });
        await refused.getByRole("heading", { level: 1 }).waitFor();
        assert.equal((await someone.ask("GET", `/console${path}`)).status, 403);
        await axe(refused);
        continue;
      }
      await link.click();
      await page.waitForURL(`**/console${path}`);
      await page.getByRole("heading", { level: 1, name: heading }).waitFor();
      assert.equal(await link.getAttribute("aria-current"), "page");
    }
  });
}

check("every page that links lead to is sound in both themes and every width", async () => {
  const someone = await signIn("admin");
  const looked = [];
  await crawl(someone, async (path) => {
    looked.push(path);
    const name = `page${path.split("?")[0].replaceAll("/", "-")}`.replace(/-$/, "-overview");
    for (const theme of THEMES) {
      const page = await someone.page(path, { theme });
      await fits(page);
      await axe(page);
      await screenshot(page, `${name}-${theme}`);
      for (const width of WIDTHS.filter((width) => width !== page.viewportSize().width)) {
        await page.setViewportSize({ width, height: 800 });
        await fits(page);
        // Pictures of this size take longest, and a theme does not change what is where.
        if (width < 2560 || theme === "light") await screenshot(page, `${name}-${theme}-${width}`);
      }
      await page.close();
    }
  });
  for (const [path] of PAGES) assert.ok(looked.includes(path), `${path} among ${looked}`);
});

check("nothing moves by itself for who asked for less motion", async () => {
  const someone = await signIn("admin");
  const moving = (page) =>
    page.evaluate(() =>
      [document.body, ...document.querySelectorAll("body *")].flatMap((element) =>
        [undefined, "::before", "::after"].flatMap((part) => {
          const style = getComputedStyle(element, part);
          const lasts = (times) => times.split(",").some((time) => parseFloat(time) > 0);
          const times = `${style.transitionDuration}, ${style.animationDuration}`;
          const moves = lasts(times) || style.scrollBehavior === "smooth";
          return moves ? [`${element.tagName}${part ?? ""}.${element.className}`] : [];
        }),
      ),
    );
  for (const [path] of PAGES) {
    const usual = await someone.page(path);
    assert.notDeepEqual(await moving(usual), [], `${path}: what is looked for is there`);
    await usual.close();
    const reduced = await someone.page(path, { motion: "reduce" });
    assert.deepEqual(await moving(reduced), [], path);
    await reduced.close();
  }
});

check("the page that there is not", async () => {
  await everyWidthAndTheme(
    await signIn("read"),
    "/nothing",
    async (page, { theme }) => {
      await page.getByRole("link", { name: "Go to the overview" }).waitFor();
      await screenshot(page, `not-found-${theme}`);
    },
    { allowed: [404] },
  );
});

// Figures and tables are in the HTML: the same words stand there before any script ran.
check("every page is complete without JavaScript", async () => {
  const someone = await signIn("admin", { scripts: false });
  for (const theme of THEMES) {
    for (const [path, , heading] of PAGES) {
      const page = await someone.page(path, { theme });
      await page.getByRole("heading", { level: 1, name: heading }).waitFor();
      await fits(page);
      const text = await page.getByRole("main").innerText();
      assert.ok(text.length > 150, `${path} says little without scripts: ${text}`);
      await page.close();
    }
  }
  const told = [
    ["/", ["live.example.com"]],
    ["/domains", ["live.example.com", "chat.example.com", "secure.example.com", "down.example.com"]],
    ["/statistics", ["Beijing"]],
    ["/connections", ["127.0.0.5", "live.example.com"]],
    ["/usage", ["live.example.com"]],
    ["/health", ["down.example.com", "secure.example.com"]],
    ["/keys", ["operate"]],
  ];
  for (const [path, words] of told) {
    const page = await someone.page(path);
    const text = await page.getByRole("main").innerText();
    for (const word of words) {
      assert.ok(text.toLowerCase().includes(word.toLowerCase()), `${word} on ${path}: ${text}`);
    }
    await page.close();
  }
});

check("the first view weighs less than 100 KB, and is drawn soon", async () => {
  for (const [path, entry] of [["/sign-in", "Sign in"], ...PAGES]) {
    const someone = await signIn("admin");
    const page = await someone.page("/nothing", { allowed: [404] });
    const session = await someone.context.newCDPSession(page);
    await session.send("Network.enable");
    await session.send("Network.setCacheDisabled", { cacheDisabled: true });
    let bytes = 0;
    session.on("Network.loadingFinished", (event) => (bytes += event.encodedDataLength));
    await page.goto(`${stage.url}/console${path}`);
    const drawn = await eventually("a first view", () =>
      page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime),
    );
    console.log(`${entry}: ${bytes} bytes on the wire, first drawn after ${drawn.toFixed(0)} ms`);
    assert.ok(bytes > 1000 && bytes < 100_000, `${path}: ${bytes} bytes`);
    allow(page);
    await page.close();
  }
});
