// npm ws as an origin: sends back every message; "close:CODE" closes with that code, "kill" resets.
// usage: node echo_server.mjs [CERTIFICATE KEY]        prints its port; with a pair it is wss
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { createRequire } from 'node:module';
const { WebSocketServer } = createRequire(process.env.HAWSER_TEST_DEPS + '/node/')('ws');

const [cert, key] = process.argv.slice(2).map((file) => readFileSync(file));
const listener = cert ? https.createServer({ cert, key }) : http.createServer();
listener.listen(0, '127.0.0.1', () => console.log(listener.address().port));
const server = new WebSocketServer({
  server: listener,
  maxPayload: 1 << 27,
  perMessageDeflate: { threshold: 0 },
  handleProtocols: (offered) => [...offered][0] ?? false,
});
server.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => {
    const text = isBinary ? '' : data.toString();
    if (text.startsWith('close:')) socket.close(Number(text.slice(6)), 'bye');
    else if (text === 'kill') socket.terminate();
    else socket.send(data, { binary: isBinary });
  });
});
