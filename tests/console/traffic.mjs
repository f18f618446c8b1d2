// Clients of the edge, and origins that a script starts and ends, on npm `ws`.
//
// Not here: the origin that is always there, and what it answers (stage.rs, `converse`).

import http from "node:http";
import { createRequire } from "node:module";
import { after } from "node:test";

import { stage } from "./browser.mjs";

const require = createRequire(process.env.HAWSER_TEST_DEPS + "/node/");
const { WebSocket, WebSocketServer } = require("ws");

// A script that leaves tunnels open would never end.
const begun = [];
after(() => begun.forEach((socket) => socket.terminate()));

// A handshake with a domain and what came of it: `status` is 101, the code that refused it, or 0
// where no answer came. `from`: any address of 127.0.0.0/8.
export function connect(domain, { path = "/", from = "127.0.0.1", headers, protocols = [] } = {}) {
  const url = `ws://127.0.0.1:${stage.edge}${path}`;
  const socket = new WebSocket(url, protocols, {
    headers: { Host: domain, ...headers },
    localAddress: from,
    perMessageDeflate: false,
  });
  begun.push(socket);
  return new Promise((resolve) => {
    const client = new Client(socket);
    const settle = (status) => {
      client.status = status;
      resolve(client);
    };
    socket.on("open", () => settle(101));
    socket.on("unexpected-response", (request, response) => {
      request.destroy();
      settle(response.statusCode);
    });
    socket.on("error", () => settle(client.status ?? 0));
  });
}

// What a handshake comes to; the tunnel is closed at once.
export async function handshake(domain, options) {
  const client = await connect(domain, options);
  if (client.isOpen) await client.close();
  return client.status;
}

class Client {
  constructor(socket) {
    this.socket = socket;
    // Code and reason of the end that the edge or the origin made, or this side.
    this.closed = new Promise((resolve) => {
      socket.on("close", (code, reason) => resolve({ code, reason: String(reason) }));
    });
  }

  // Sends a text or bytes and waits for what comes back.
  async says(message) {
    const answer = new Promise((resolve) => this.socket.once("message", resolve));
    this.socket.send(message);
    return answer;
  }

  get isOpen() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  async close(code = 1000, reason = "") {
    this.socket.close(code, reason);
    return this.closed;
  }
}

// Several clients at once, each from an address of its own.
export async function crowd(domain, n, options = {}) {
  const one = (i) => connect(domain, { from: `127.0.0.${(i % 250) + 1}`, ...options });
  return Promise.all(Array.from({ length: n }, (_, i) => one(i)));
}

// A request that asks for no upgrade; its status.
export function ask(domain, path = "/") {
  const options = { host: "127.0.0.1", port: stage.edge, path, headers: { Host: domain } };
  return new Promise((resolve, reject) => {
    const request = http.get({ ...options, agent: false }, (response) => {
      response.resume().on("end", () => resolve(response.statusCode));
    });
    request.on("error", reject);
  });
}

// An origin that echoes, on a port of its own or on one that an earlier one had.
export async function origin(port = 0) {
  const server = http.createServer((request, response) => response.end("hello"));
  const sockets = new WebSocketServer({ server });
  sockets.on("connection", (socket) => {
    socket.on("message", (message, isBinary) => socket.send(message, { binary: isBinary }));
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  const close = () => {
    sockets.clients.forEach((socket) => socket.terminate());
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { port: server.address().port, close };
}
