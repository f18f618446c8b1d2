"""Python websockets as an origin: sends back every message; "close:CODE" closes with that code.

usage: echo_server.py [CERTIFICATE KEY]        prints its port; with a pair it is wss"""

import asyncio
import logging
import ssl
import sys

from websockets.asyncio.server import serve

logging.getLogger("websockets").setLevel(logging.CRITICAL)


async def echo(ws):
    async for message in ws:
        if isinstance(message, str) and message.startswith("close:"):
            await ws.close(int(message[6:]), "bye")
            return
        await ws.send(message)


def first(_ws, offered):
    return offered[0] if offered else None


async def main():
    options = dict(max_size=None, ping_interval=None, close_timeout=2)
    if len(sys.argv) > 2:
        options["ssl"] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        options["ssl"].load_cert_chain(*sys.argv[1:3])
    async with serve(echo, "127.0.0.1", 0, select_subprotocol=first, **options) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
