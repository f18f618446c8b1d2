// npm ws as an origin: sends back every message; "close:CODE" closes with that code, "kill" resets.
// usage: node echo_server.mjs        prints its port
import { createRequire } from 'node:module';
const { WebSocketServer } = createRequire(process.env.HAWSER_TEST_DEPS + '/node/')('ws');

const server = new WebSocketServer({
  host: '127.0.0.1',
  port: 0,
  maxPayload: 1 << 27,
  perMessageDeflate: { threshold: 0 },
  handleProtocols: (offered) => [...offered][0] ?? false,
});
server.on('listening', () => console.log(server.address().port));
server.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => {
    const text = isBinary ? '' : data.toString();
    if (text.startsWith('close:')) socket.close(Number(text.slice(6)), 'bye');
    else if (text === 'kill') socket.terminate();
    else socket.send(data, { binary: isBinary });
  });
});
