// The two official Node SDKs of DCDN, unchanged but for endpoint and protocol.
//
// usage: node dcdn.mjs CLIENT CONVERSATION ADMIN_PORT EDGE_PORT ORIGIN_PORT
//     CLIENT        tea | pop | pop-post (its calls as forms)
//     CONVERSATION  script | wrong-secret | use | bill
// The key stands in HAWSER_TEST_KEY as ID.SECRET; "use" prints the bytes of its traffic, "bill" takes
// them, hours later, from HAWSER_TEST_BYTES.

import assert from "node:assert/strict";
import crypto from "node:crypto";
import { createRequire } from "node:module";
import net from "node:net";

const require = createRequire(process.env.HAWSER_TEST_DEPS + "/node/");
const [CLIENT, CONVERSATION, ...ports] = process.argv.slice(2);
const [ADMIN, EDGE, ORIGIN] = ports.map(Number);
const [ID, SECRET] = process.env.HAWSER_TEST_KEY.split(".");
// A flush comes every 10 s; this is for a machine with much else to do.
const PATIENCE = 90_000;

// @alicloud/dcdn20180115
function tea(secret) {
  const sdk = require("@alicloud/dcdn20180115");
  const { Config } = require("@alicloud/openapi-client");
  const client = new sdk.default(
    new Config({
      accessKeyId: ID,
      accessKeySecret: secret,
      endpoint: `127.0.0.1:${ADMIN}`,
      protocol: "http",
      regionId: "cn-hangzhou",
    }),
  );
  return async (action, params = {}) => {
    const Request = sdk[`${action}Request`];
    const method = client[action[0].toLowerCase() + action.slice(1)].bind(client);
    // Operations without a parameter take no request.
    if (!Request) return (await method()).body.toMap();
    const fields = Object.fromEntries(Object.entries(Request.names()).map(([k, v]) => [v, k]));
    const named = Object.entries(params).map(([name, value]) => [fields[name], value]);
    return (await method(new Request(Object.fromEntries(named)))).body.toMap();
  };
}

// @alicloud/pop-core
function pop(secret, method) {
  const { RPCClient } = require("@alicloud/pop-core");
  const client = new RPCClient({
    accessKeyId: ID,
    accessKeySecret: secret,
    endpoint: `http://127.0.0.1:${ADMIN}`,
    apiVersion: "2018-01-15",
  });
  return (action, params = {}) => client.request(action, params, { method });
}

function connect(secret = SECRET) {
  if (CLIENT === "tea") return tea(secret);
  return pop(secret, CLIENT === "pop-post" ? "POST" : "GET");
}

// What is asked and expected

async function refused(code, call) {
  await assert.rejects(call, (error) => {
    assert.equal(error.code, code, error.message);
    return true;
  });
}

async function until(what, ask) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const last = await ask();
    if (last) return last;
    assert.ok(Date.now() < deadline, `not in ${PATIENCE} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

const stamp = (seconds) => new Date(seconds * 1000).toISOString().replace(".000Z", "Z");
const slot = (ms) => Math.floor(ms / 300_000) * 300;
// From the slot of `begun` to the end of the current one.
const window = (begun) => ({
  StartTime: stamp(slot(begun)),
  EndTime: stamp(slot(Date.now()) + 300),
});
const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

function frame(payload, opcode = 2) {
  const mask = crypto.randomBytes(4);
  const head = Buffer.from([0x80 | opcode, 0x80 | (payload.length < 126 ? payload.length : 126)]);
  const length = Buffer.alloc(payload.length < 126 ? 0 : 2);
  if (length.length) length.writeUInt16BE(payload.length);
  const masked = payload.map((byte, i) => byte ^ mask[i % 4]);
  return Buffer.concat([head, length, mask, masked]);
}

// A WebSocket with an echo behind it; the bytes that the socket received, all of them.
function traffic(host) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(EDGE, "127.0.0.1");
    const payload = crypto.randomBytes(1000);
    let received = Buffer.alloc(0);
    let step = "head";
    socket.setTimeout(30_000, () => reject(new Error("silence")));
    socket.on("error", reject);
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
      const end = received.indexOf("\r\n\r\n") + 4;
      if (step === "head" && end > 3) {
        assert.ok(received.toString("latin1").startsWith("HTTP/1.1 101 "), received);
        for (let i = 0; i < 20; i++) socket.write(frame(payload));
        step = "echo";
      }
      if (step === "echo" && received.length >= end + 20 * (4 + payload.length)) {
        socket.write(frame(Buffer.from([0x03, 0xe8]), 8));
        step = "close";
      }
    });
    socket.on("end", () => {
      assert.equal(step, "close");
      resolve(received.length);
    });
    socket.write(
      `GET /echo HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Key: ${crypto.randomBytes(16).toString("base64")}\r\n` +
        "Sec-WebSocket-Version: 13\r\n\r\n",
    );
  });
}

function functions(args) {
  const functionArgs = Object.entries(args).map(([argName, argValue]) => ({ argName, argValue }));
  return JSON.stringify([{ functionName: "websocket", functionArgs }]);
}

const detail = async (call, name) =>
  (await call("DescribeDcdnDomainDetail", { DomainName: name })).DomainDetail;

// Conversations

async function script() {
  const call = connect();
  const name = `${CLIENT}.example.com`;
  const begun = Date.now();
  await openAndAdd(call, name);
  await setWebsocket(call, name);
  const received = await traffic(name);
  await describe(call, name);
  await statistics(call, name, begun, received);
  await bill(call, name, begun, received);
  await remove(call, name);
}

async function openAndAdd(call, name) {
  const opening = { BillType: "PayByTraffic", WebsocketBillType: "websockettraffic" };
  assert.match((await call("OpenDcdnService", opening)).RequestId, /^[0-9A-F-]{36}$/);
  await refused("DcdnService.HasOpened", () => call("OpenDcdnService", opening));
  const service = await call("DescribeDcdnService");
  assert.equal(service.WebsocketType, "websockettraffic");
  assert.equal(service.InternetChargeType, "PayByTraffic");

  const source = { type: "ipaddr", content: "127.0.0.1", port: ORIGIN, priority: "20" };
  const Sources = JSON.stringify([{ ...source, weight: "10" }]);
  await call("AddDcdnDomain", { DomainName: name, Sources, Scope: "domestic" });
  await until("online", async () => (await detail(call, name)).DomainStatus === "online");
  const [found] = (await detail(call, name)).Sources.Source;
  assert.deepEqual([found.Type, found.Content, found.Port], ["ipaddr", "127.0.0.1", ORIGIN]);
}

async function setWebsocket(call, name) {
  const wanted = { enabled: "on", heartbeat: "60", origin_scheme: "http" };
  const set = (args) => {
    const Functions = functions(args);
    return call("BatchSetDcdnDomainConfigs", { DomainNames: name, Functions });
  };
  const [made] = (await set(wanted)).DomainConfigList.DomainConfigModel;
  assert.deepEqual([made.DomainName, made.FunctionName], [name, "websocket"]);
  const asked = { DomainName: name, FunctionNames: "websocket" };
  const config = await until("success", async () => {
    const configs = (await call("DescribeDcdnDomainConfigs", asked)).DomainConfigs.DomainConfig;
    assert.equal(configs.length, 1);
    return configs[0].Status === "success" && configs[0];
  });
  const args = config.FunctionArgs.FunctionArg.map((arg) => [arg.ArgName, arg.ArgValue]);
  assert.deepEqual(Object.fromEntries(args), wanted);
  assert.equal(config.ConfigId, String(made.ConfigId));
  for (const heartbeat of ["0", "301", "abc"]) {
    await refused("InvalidHeartbeat.Malformed", () => set({ enabled: "on", heartbeat }));
  }
}

async function describe(call, name) {
  const listed = await call("DescribeDcdnUserDomains", { PageNumber: 1, PageSize: 20 });
  assert.equal(listed.TotalCount, 1);
  assert.equal(listed.Domains.PageData[0].DomainName, name);
  const cnames = await call("DescribeDcdnDomainCname", { DomainName: name });
  assert.equal(cnames.CnameDatas.Data[0].Domain, name);
  const places = await call("DescribeDcdnRegionAndIsp");
  const regions = places.Regions.Region.map((region) => region.NameEn);
  const isps = places.Isps.Isp.map((isp) => isp.NameEn);
  assert.ok(regions.includes("shaanxi") && regions.includes("shanxi"));
  assert.ok(isps.includes("unicom") && isps.includes("drpeng"));
  const missing = { DomainName: "nobody.example.com" };
  await refused("InvalidDomain.NotFound", () => call("DescribeDcdnDomainDetail", missing));
}

// Until the last flush; then the same bytes and codes in all three.
async function statistics(call, name, begun, received) {
  const modules = async (what, key, more = {}) => {
    const asked = { DomainName: name, Interval: "300", ...window(begun), ...more };
    const answer = await call(`DescribeDcdnDomainWebsocket${what}Data`, asked);
    assert.deepEqual([answer.DomainName, answer.DataInterval], [name, "300"]);
    return answer[key].DataModule;
  };
  const sent = async (more) => {
    const slots = await modules("Traffic", "TrafficDataPerInterval", more);
    return sum(slots.map((slot) => slot.WebsocketTraffic));
  };
  await until("the bytes that were received", async () => (await sent()) === received);
  assert.equal(await sent({ LocationNameEn: "beijing", IspNameEn: "unicom" }), received);
  assert.equal(await sent({ LocationNameEn: "guangdong" }), 0);

  const bps = await modules("Bps", "BpsDataPerInterval");
  const bytes = (sum(bps.map((slot) => slot.WebsocketBps)) * 300) / 8;
  assert.ok(Math.abs(bytes - received) < 1e-3, `${bytes}`);

  const byLayer = async (Layer) => {
    const asked = { DomainName: name, Interval: "300", Layer, ...window(begun) };
    const answer = await call("DescribeDcdnDomainBpsDataByLayer", asked);
    return sum(answer.BpsDataInterval.DataModule.map((slot) => Number(slot.TrafficValue)));
  };
  const shares = [];
  for (const layer of ["all", "IPv4", "IPv6", "http", "https", "quic"]) {
    shares.push(await byLayer(layer));
  }
  assert.deepEqual(shares, [received, received, 0, received, 0, 0]);

  const slots = await modules("HttpCode", "HttpCodeDataPerInterval");
  const codes = slots.flatMap((slot) => slot.WebsocketHttpCode.HttpCodeDataModule);
  assert.deepEqual(
    codes.map(({ Code, Count, Proportion }) => [Code, Count, Proportion]),
    [[101, 1, 100]],
  );
  const half = { DomainName: name, StartTime: window(begun).StartTime };
  const asked = () => call("DescribeDcdnDomainWebsocketTrafficData", half);
  await refused("MissingTimeParameter", asked);
}

async function bill(call, name, begun, received) {
  const span = window(begun);
  const asked = { DomainName: name, Field: "traf", ...span };
  const usage = await call("DescribeDcdnDomainUsageData", asked);
  const points = usage.UsageDataPerInterval.DataModule.map((point) => Number(point.Value));
  assert.equal(sum(points), received);
  const feed = await call("DescribeDcdnDomainMultiUsageData", { DomainName: name, ...span });
  const rows = feed.TrafficPerInterval.TrafficDataModule;
  assert.ok(rows.every((row) => row.Domain === name && row.Type === "WebSocket"));
  assert.ok(Math.abs((sum(rows.map((row) => row.Bps)) * 300) / 8 - received) < 1e-3);
  const types = (await call("DescribeDcdnUserBillType", span)).BillTypeData.BillTypeDataItem;
  const ofWebsocket = types.filter((item) => item.Dimension === "websocket");
  assert.deepEqual(
    ofWebsocket.map((item) => item.BillType),
    ["hour_flow"],
  );
  // An hour is billed when it is over.
  const history = (await call("DescribeDcdnUserBillHistory", span)).BillHistoryData;
  const sameHour = span.StartTime.slice(0, 13) === new Date().toISOString().slice(0, 13);
  assert.ok(!sameHour || history.BillHistoryDataItem.length === 0, JSON.stringify(history));
}

async function remove(call, name) {
  await call("DeleteDcdnDomain", { DomainName: name });
  await until("gone", async () => {
    try {
      await detail(call, name);
      return false;
    } catch (error) {
      assert.equal(error.code, "InvalidDomain.NotFound");
      return true;
    }
  });
  assert.equal((await call("DescribeDcdnUserDomains", {})).TotalCount, 0);
}

const HOUR = { StartTime: "2026-06-10T12:00:00Z", EndTime: "2026-06-10T13:00:00Z" };

async function use() {
  const call = connect();
  const name = `${CLIENT}.example.com`;
  await openAndAdd(call, name);
  await setWebsocket(call, name);
  const received = await traffic(name);
  const asked = { DomainName: name, Interval: "3600", ...HOUR };
  await until("the bytes that were received", async () => {
    const answer = await call("DescribeDcdnDomainWebsocketTrafficData", asked);
    return answer.TrafficDataPerInterval.DataModule[0].WebsocketTraffic === received;
  });
  const history = (await call("DescribeDcdnUserBillHistory", HOUR)).BillHistoryData;
  assert.deepEqual(history.BillHistoryDataItem, []);
  console.log("used", received);
}

async function laterBill() {
  const call = connect();
  const rows = await until("the hour is billed", async () => {
    const history = (await call("DescribeDcdnUserBillHistory", HOUR)).BillHistoryData;
    const found = history.BillHistoryDataItem.filter((row) => row.Dimension === "websocket");
    return found.length > 0 && found;
  });
  assert.deepEqual(
    rows.map((row) => row.BillType),
    ["hour_flow"],
  );
  const [item] = rows[0].BillingData.BillingDataItem;
  assert.deepEqual([item.CdnRegion, item.Flow], ["CN", Number(process.env.HAWSER_TEST_BYTES)]);
}

async function wrongSecret() {
  const wrong = connect(SECRET.slice(0, -1) + (SECRET.endsWith("a") ? "b" : "a"));
  await refused("SignatureDoesNotMatch", () => wrong("DescribeDcdnUserDomains"));
  await connect()("DescribeDcdnUserDomains");
}

await { script, "wrong-secret": wrongSecret, use, bill: laterBill }[CONVERSATION]();
console.log("ok", CLIENT, CONVERSATION);
