// npm ws as a client, through the edge, against any echo that knows "close:CODE".
// usage: node client.mjs PORT        exits with 0 when every conversation went as it should
// With HAWSER_TEST_CA, the file of an authority, it is wss.
import { createRequire } from 'node:module';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
const { WebSocket } = createRequire(process.env.HAWSER_TEST_DEPS + '/node/')('ws');

const authority = process.env.HAWSER_TEST_CA;
const secure = authority ? { ca: readFileSync(authority), servername: 'a.test' } : {};
const url = `${authority ? 'wss' : 'ws'}://127.0.0.1:${process.argv[2]}/echo`;
const open = (protocols, options) => new Promise((resolve, reject) => {
  const socket = new WebSocket(url, protocols, { headers: { Host: 'a.test' }, ...secure, ...options });
  socket.on('open', () => resolve(socket));
  socket.on('error', reject);
});
const next = (socket) => new Promise((resolve, reject) => {
  socket.once('message', (data, isBinary) => resolve(isBinary ? data : data.toString()));
  socket.once('close', (code) => reject(new Error(`closed with ${code}`)));
});
const closed = (socket) => new Promise((resolve) => socket.once('close', (code) => resolve(code)));

const conversations = {
  async text() {
    const socket = await open();
    socket.send('grüße');
    assert.equal(await next(socket), 'grüße');
    socket.close(1000);
    assert.equal(await closed(socket), 1000);
  },
  async subprotocol() {
    const socket = await open(['v2.chat', 'v1.chat']);
    assert.equal(socket.protocol, 'v2.chat');
    socket.close();
    await closed(socket);
  },
  async 'compressed and plain'() {
    for (const perMessageDeflate of [true, false]) {
      const socket = await open([], { perMessageDeflate });
      assert.equal(socket.extensions.includes('permessage-deflate'), perMessageDeflate);
      socket.send('x'.repeat(100_000));
      assert.equal((await next(socket)).length, 100_000);
      socket.close();
      await closed(socket);
    }
  },
  async 'binary of 5 MiB'() {
    const socket = await open();
    const data = Buffer.alloc(5 << 20, 'hawser');
    socket.send(data);
    assert.ok(data.equals(await next(socket)));
    socket.close();
    await closed(socket);
  },
  async '2000 messages in order'() {
    const socket = await open();
    let n = 0;
    const all = new Promise((resolve, reject) => socket.on('message', (data) => {
      if (data.toString() !== `m${n}`) reject(new Error(`out of order at ${n}`));
      n += 1;
      if (n === 2000) resolve();
    }));
    for (let i = 0; i < 2000; i += 1) socket.send(`m${i}`);
    await all;
    socket.close();
    await closed(socket);
  },
  async 'ping and pong'() {
    const socket = await open();
    const pong = new Promise((resolve) => socket.once('pong', resolve));
    socket.ping('mine');
    assert.equal((await pong).toString(), 'mine');
    socket.close();
    await closed(socket);
  },
  async 'close codes'() {
    for (const code of [1000, 1001, 1011, 3000, 4999]) {
      const socket = await open();
      socket.send(`close:${code}`);
      assert.equal(await closed(socket), code);
    }
  },
};

for (const [name, conversation] of Object.entries(conversations)) {
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`${name}: nothing for 60 s`)), 60_000).unref();
  });
  await Promise.race([conversation(), late]);
  console.log('ok', name);
}
process.exit(0);
