// What must not work, with the means of a browser and without: no page without a session, no
// change without the token of a page, nothing for a role that may not, no script that is not the
// console's own.
//
// Not here: what works (the script of each page), the rules of the API (tests/it/api.rs).

import assert from "node:assert/strict";
import http from "node:http";

import { check, crawl, eventually, rest, ROLES, signIn, stage, visitor } from "./browser.mjs";
import { connect } from "./traffic.mjs";

const PAGES = [
  "/",
  "/domains",
  "/statistics",
  "/connections",
  "/usage",
  "/health",
  "/keys",
  "/audit",
];

const POLICY = {
  "default-src": "'none'",
  "script-src": "'self'",
  "style-src": "'self'",
  "img-src": "'self'",
  "connect-src": "'self'",
  "form-action": "'self'",
  "base-uri": "'none'",
  "frame-ancestors": "'none'",
  "require-trusted-types-for": "'script'",
  "trusted-types": "'none'",
};

// === Sessions ===

check("nobody sees a page without a session, and comes back after signing in", async () => {
  const nobody = await visitor();
  for (const path of [...PAGES, "/domains/live.example.com", "/nothing"]) {
    const answer = await nobody.ask("GET", `/console${path}`);
    assert.equal(answer.status, 303, path);
    const next = encodeURIComponent(`/console${path}`);
    assert.equal(answer.headers.get("location"), `/console/sign-in?next=${next}`);
    assert.doesNotMatch(await answer.text(), /example\.com/);
  }
  const page = await nobody.page("/connections?domain=live.example.com");
  assert.match(page.url(), /\/sign-in\?next=/);
  const [id, secret] = stage.keys.read.split(".");
  await page.getByLabel("Access key ID", { exact: false }).first().fill(id);
  await page.getByLabel("Access key secret", { exact: false }).first().fill(secret);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL("**/console/connections?domain=live.example.com");
});

check("nobody is led to another site after signing in", async () => {
  const nobody = await visitor();
  const elsewhere = ["https://evil.test/", "//evil.test/", "/\\evil.test", "/console\\evil.test"];
  for (const next of [...elsewhere, "javascript:alert(1)", "/api/v1/keys", "/console/\r\nX: y"]) {
    const form = { id: "", secret: stage.keys.read, next };
    const answer = await nobody.ask("POST", "/console/sign-in", { form });
    assert.equal(answer.status, 303);
    assert.equal(answer.headers.get("location"), "/console/", next);
  }
});

check("the cookie is for this host and no script, and dies with the session", async () => {
  const nobody = await visitor();
  const form = { id: "", secret: stage.keys.read };
  const answer = await nobody.ask("POST", "/console/sign-in", { form });
  const [cookie, ...flags] = answer.headers.get("set-cookie").split("; ");
  assert.deepEqual(flags.sort(), ["HttpOnly", "Path=/", "SameSite=Lax"]);
  assert.match(cookie, /^hawser_session=[A-Za-z0-9]{43}$/);
  const someone = await signIn("read");
  const page = await someone.page("/");
  assert.equal(await page.evaluate(() => document.cookie.includes("session")), false);
  const csrf = await someone.csrf();
  const over = await someone.ask("POST", "/console/sign-out", { form: { csrf } });
  assert.equal(over.status, 303);
  assert.equal((await someone.ask("GET", "/console/")).status, 303, "the token is worth nothing");
  assert.equal((await someone.ask("GET", "/api/v1/status")).status, 401);
});

check("a key that is revoked is out at once", async () => {
  const admin = rest();
  const made = await admin.send("POST", "/keys", { name: "short", role: "operate" });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  const { access_key_id: id, access_key_secret: secret } = made.body;
  stage.keys.short = `${id}.${secret}`;
  const someone = await signIn("short");
  assert.equal((await someone.ask("GET", "/console/domains")).status, 200);
  assert.ok((await admin.send("DELETE", `/keys/${id}`)).status < 300);
  assert.equal((await someone.ask("GET", "/console/domains")).status, 303);
});

// === Requests from elsewhere ===

// Two forms that are on every page; the rest is found by following links.
const OWN = ["/console/theme", "/console/sign-out"];

// The forms that an admin is shown, wherever links lead: actions with the fields as they stand.
async function everyForm() {
  const forms = new Map();
  const plain = (text) => text.replaceAll("&amp;", "&").replaceAll("&quot;", '"');
  await crawl(await signIn("admin"), (path, html) => {
    for (const [form, tag] of html.matchAll(/<form([^>]*)>[^]*?<\/form>/g)) {
      // A hidden one lends its token to buttons with an action of their own.
      if (!tag.includes('method="post"') || tag.includes(" hidden")) continue;
      const inputs = form.matchAll(/<(?:input|button)[^>]* name="([^"]+)"[^>]* value="([^"]*)"/g);
      const fields = [...inputs].map(([, name, value]) => [name, plain(value)]);
      const kept = Object.fromEntries(fields.filter(([name]) => name !== "csrf"));
      forms.set(plain(tag.match(/action="([^"]+)"/)[1]), kept);
    }
    // Buttons that send another form elsewhere.
    for (const [, action] of html.matchAll(/<button[^>]* formaction="([^"]+)"/g)) {
      forms.set(plain(action), {});
    }
  });
  return forms;
}

async function unchanged() {
  const api = rest();
  const { phase, hash } = await api.read("/status");
  const keys = await api.read("/keys");
  const plan = await api.read("/plan");
  return { phase, hash, plan, keys: keys.items.map((key) => [key.access_key_id ?? key.id, key.state]) };
}

let FORMS;

check("the forms of the console were found", async () => {
  // So that there is a form for it.
  const tunnel = await connect("live.example.com");
  FORMS = await everyForm();
  await tunnel.close();
  const actions = [...FORMS.keys()].join("\n");
  for (const part of ["/health/reload", "/health/drain", "/domains", "/connections", "/usage", "/keys"]) {
    assert.ok(actions.includes(`/console${part}`), `no form below ${part} among\n${actions}`);
  }
});

check("a form without the token of a page changes nothing", async () => {
  const someone = await signIn("admin");
  const other = await signIn("admin");
  const before = await unchanged();
  const others = await other.csrf();
  for (const [action, fields] of FORMS) {
    for (const csrf of [undefined, "", "x".repeat(43), others]) {
      const form = csrf === undefined ? fields : { ...fields, csrf };
      const answer = await someone.ask("POST", action, { form });
      assert.equal(answer.status, 403, `${action} with ${csrf}`);
      assert.match(await answer.text(), /not of this page/);
    }
  }
  for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
    for (const token of [undefined, "x".repeat(43)]) {
      const headers = token ? { "X-Csrf-Token": token } : {};
      const target = "/api/v1/domains/live.example.com";
      const answer = await someone.ask(method, target, { headers, json: {} });
      assert.ok([403, 405].includes(answer.status), `${method}: ${answer.status}`);
    }
  }
  assert.deepEqual(await unchanged(), before);
  assert.equal((await someone.ask("GET", "/console/")).status, 200, "still signed in");
});

check("a request that another site makes is refused, whatever it carries", async () => {
  const someone = await signIn("admin");
  const csrf = await someone.csrf();
  const before = await unchanged();
  const ways = [
    { Origin: "http://evil.test" },
    { Origin: "null" },
    { "Sec-Fetch-Site": "cross-site" },
    { "Sec-Fetch-Site": "same-site" },
  ];
  for (const headers of ways) {
    for (const [action, fields] of FORMS) {
      const options = { form: { ...fields, csrf }, headers };
      const answer = await someone.ask("POST", action, options);
      assert.equal(answer.status, 403, `${action} with ${JSON.stringify(headers)}`);
    }
    const options = { json: { name: "evil.example.com" }, headers: { ...headers, "X-Csrf-Token": csrf } };
    assert.equal((await someone.ask("POST", "/api/v1/domains", options)).status, 403);
  }
  assert.deepEqual(await unchanged(), before);
});

// A page of another origin, in the same browser and with the session's cookie in reach.
check("a page of another site can neither post, nor read, nor frame", async () => {
  const someone = await signIn("admin");
  const before = await unchanged();
  const target = `${stage.url}/console/health/reload`;
  const html = `<!doctype html><title>evil</title>
    <form method=post action="${target}"><button>Go</button></form>
    <iframe src="${stage.url}/console/"></iframe>`;
  const site = http.createServer((request, response) => {
    response.writeHead(200, { "Content-Type": "text/html" }).end(html);
  });
  await new Promise((resolve) => site.listen(0, "127.0.0.1", resolve));
  try {
    // Not `watch`ed: this page is of another host, and is refused all the time.
    const page = await someone.context.newPage();
    await page.goto(`http://localhost:${site.address().port}/`);
    const read = (url) =>
      page.evaluate((url) => fetch(url, { credentials: "include" }).then(() => "read", () => "kept"), url);
    assert.equal(await read(`${stage.url}/console/`), "kept");
    assert.equal(await read(`${stage.url}/api/v1/status`), "kept");
    const frame = await eventually("a frame that was refused", () => page.frames()[1]);
    const inside = await frame.evaluate(() => document.body?.innerText ?? "").catch(() => "");
    assert.doesNotMatch(inside, /Hawser|example\.com/);
    const [answer] = await Promise.all([
      page.waitForResponse(target),
      page.getByRole("button", { name: "Go" }).click(),
    ]);
    assert.equal(answer.status(), 403);
    await page.close();
  } finally {
    site.closeAllConnections();
    site.close();
  }
  assert.deepEqual(await unchanged(), before);
});

// === Roles ===

// What a page of the role must not have: names of controls, by the least role that has them.
const CONTROLS = [
  ["/health", /Reload the files|Drain this node/, "operate"],
  ["/domains", /Add domain/, "operate"],
  ["/domains/live.example.com", /Stop|Delete|Remove/, "operate"],
  ["/connections", /Close/, "operate"],
  ["/usage", /Change plan|Change the plan/i, "admin"],
];

for (const role of ["read", "operate"]) {
  check(`a key of the role ${role} is offered nothing that it may not do`, async () => {
    const someone = await signIn(role);
    const open = await connect("live.example.com");
    for (const [path, names, least] of CONTROLS) {
      if (ROLES.indexOf(role) >= ROLES.indexOf(least)) continue;
      const page = await someone.page(path);
      for (const kind of ["button", "link"]) {
        const found = page.getByRole("main").getByRole(kind, { name: names });
        assert.deepEqual(await found.allInnerTexts(), [], `${kind} on ${path} for ${role}`);
      }
      const html = await page.content();
      assert.doesNotMatch(html.replace(/<script[^]*?<\/script>/g, ""), /href="\/console\/keys"/, path);
      await page.close();
    }
    await open.close();
  });

  check(`a key of the role ${role} does nothing by hand that it may not do`, async () => {
    const someone = await signIn(role);
    const csrf = await someone.csrf();
    const before = await unchanged();
    const mine = role === "read" ? /\/console\// : /\/keys|\/usage|\/rollback/;
    for (const [action, fields] of FORMS) {
      if (OWN.includes(action) || !mine.test(action)) continue;
      let answer = await someone.ask("POST", action, { form: { ...fields, csrf } });
      // A page that asks first is answered as well.
      if (answer.status === 200) {
        const form = { ...fields, csrf, confirmed: "yes", step: "apply" };
        answer = await someone.ask("POST", action, { form });
      }
      // 422: it did not get as far as to ask for a role.
      assert.ok([403, 422].includes(answer.status), `${action} for ${role}: ${answer.status}`);
    }
    const headers = { "X-Csrf-Token": csrf };
    const operate = [
      ["POST", "/domains", { name: "new.example.com" }],
      ["DELETE", "/domains/live.example.com", undefined],
      ["POST", "/connections/close", { domain: "live.example.com" }],
      ["POST", "/reload", undefined],
      ["POST", "/drain", {}],
    ];
    const admin = [
      ["GET", "/keys", undefined],
      ["POST", "/keys", { name: "mine", role: "admin" }],
      ["POST", "/plan/change", { charge_type: "PayByBandwidth" }],
      ["POST", "/audit/1/rollback", {}],
    ];
    for (const [method, path, json] of role === "read" ? [...operate, ...admin] : admin) {
      const answer = await someone.ask(method, `/api/v1${path}`, { json, headers });
      assert.equal(answer.status, 403, `${method} ${path} for ${role}: ${await answer.text()}`);
    }
    assert.deepEqual(await unchanged(), before);
  });
}

// === Content ===

check("every answer of the console carries its policy", async () => {
  const someone = await signIn("admin");
  const nobody = await visitor();
  for (const path of [...PAGES, "/nothing", "/sign-in", "/assets/none/console.css"]) {
    for (const one of [someone, nobody]) {
      const { headers } = await one.ask("GET", `/console${path}`);
      const policy = headers.get("content-security-policy").split(/; */);
      const directives = policy.map((text) => [text.split(" ")[0], text.split(" ").slice(1).join(" ")]);
      assert.deepEqual(Object.fromEntries(directives), POLICY, path);
      assert.equal(headers.get("x-frame-options"), "DENY");
      assert.equal(headers.get("x-content-type-options"), "nosniff");
      assert.equal(headers.get("referrer-policy"), "same-origin");
    }
  }
  for (const path of PAGES) {
    const { headers } = await someone.ask("GET", `/console${path}`);
    assert.match(headers.get("cache-control") ?? "", /no-store/, `${path} stays in no cache`);
  }
});

check("the policy holds: no inline script, style or handler, no string becomes HTML", async () => {
  const page = await (await signIn("admin")).page("/");
  // Its console tells of all that this check wants to see.
  page.forgive();
  const came = await page.evaluate(async () => {
    const violations = [];
    document.addEventListener("securitypolicyviolation", (event) => {
      violations.push(event.effectiveDirective);
    });
    const script = document.createElement("script");
    try {
      script.textContent = "window.ran = 'script'";
      document.body.append(script);
    } catch {
      violations.push("script text");
    }
    const styled = document.createElement("div");
    styled.setAttribute("style", "position: fixed");
    document.body.append(styled);
    const thrown = [];
    for (const use of [
      () => styled.setAttribute("onclick", "window.ran = 'handler'"),
      () => (styled.innerHTML = "<img src=x onerror=alert(1)>"),
      () => document.write("<p>x</p>"),
    ]) {
      try {
        use();
        thrown.push("nothing");
      } catch (error) {
        thrown.push(error.name);
      }
    }
    styled.click();
    const position = getComputedStyle(styled).position;
    await new Promise((resolve) => setTimeout(resolve));
    return { ran: window.ran, thrown, position, violations };
  }).catch((error) => ({ error: String(error) }));
  assert.equal(came.error, undefined);
  assert.equal(came.ran, undefined);
  assert.equal(came.position, "static");
  assert.ok(came.thrown.every((name) => name !== "nothing"), JSON.stringify(came));
  assert.ok(came.violations.some((name) => name.startsWith("style-src")), JSON.stringify(came));
});

// A client chooses its path and header fields, an operator the name of a key: all of it is text.
check("what others wrote is shown as text", async () => {
  const evil = "<img src=x onerror=alert(1)>\"'&<script>alert(2)</script>";
  const admin = rest();
  const made = await admin.send("POST", "/keys", { name: evil.slice(0, 60), role: "read" });
  assert.ok([201, 422].includes(made.status), JSON.stringify(made.body));
  const tunnel = await connect("live.example.com", {
    path: `/${encodeURIComponent(evil)}?<script>`.replaceAll(" ", ""),
    headers: { "User-Agent": evil, Origin: "http://<b>evil</b>" },
  });
  assert.equal(tunnel.status, 101);
  const someone = await signIn("admin");
  const query = `?search=${encodeURIComponent(evil)}&domain=${encodeURIComponent(evil)}`;
  const paths = [...PAGES.flatMap((path) => [path, path + query])];
  for (const path of [...paths, `/domains/${encodeURIComponent(evil)}`, `/${encodeURIComponent(evil)}`]) {
    const page = await someone.page(path, { allowed: [400, 404, 422] });
    page.on("dialog", () => assert.fail(`a script of others ran on ${path}`));
    const made = await page.evaluate(() => ({
      images: document.querySelectorAll("img[src='x'], [onerror]").length,
      scripts: [...document.scripts].filter((script) => !script.src.startsWith(location.origin)).length,
      bold: [...document.querySelectorAll("b")].filter((b) => b.textContent === "evil").length,
    }));
    assert.deepEqual(made, { images: 0, scripts: 0, bold: 0 }, path);
    await page.close();
  }
  await tunnel.close();
});

check("assets are kept for ever under their hash, and pages are not kept", async () => {
  const someone = await signIn("read");
  const text = await (await someone.ask("GET", "/console/")).text();
  const assets = [...text.matchAll(/(?:href|src)="(\/console\/assets\/[^"]+)"/g)].map(([, url]) => url);
  assert.ok(assets.length >= 3, text.slice(0, 2000));
  for (const url of new Set(assets)) {
    assert.match(url, /^\/console\/assets\/[0-9a-f]{16}\//);
    const answer = await fetch(stage.url + url);
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get("cache-control"), /max-age=31536000, immutable/);
    assert.equal(answer.headers.get("content-encoding"), "gzip", url);
    const other = url.replace(/[0-9a-f]{16}/, "0123456789abcdef");
    assert.equal((await fetch(stage.url + other)).status, 404, "an old page's assets are gone");
  }
  for (const url of ["/console/assets/../mod.rs", "/console/assets/x/..%2f..%2fCargo.toml"]) {
    assert.notEqual((await someone.ask("GET", url)).status, 200, url);
  }
});

check("secrets stand on no page", async () => {
  const someone = await signIn("admin");
  const secrets = Object.values(stage.keys).map((key) => key.split(".")[1]);
  const session = someone.cookie.split("=")[1];
  for (const path of [...PAGES, "/domains/secure.example.com"]) {
    const text = await (await someone.ask("GET", `/console${path}`)).text();
    for (const secret of [...secrets, session]) assert.ok(!text.includes(secret), path);
    assert.doesNotMatch(text, /PRIVATE KEY/, path);
  }
});
