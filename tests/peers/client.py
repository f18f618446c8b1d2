"""Python websockets as a client, through the edge, against any echo that knows "close:CODE".

usage: client.py PORT [heartbeat]    exits with 0 when every conversation went as it should
With HAWSER_TEST_CA, the file of an authority, it is wss."""

import asyncio
import os
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

PORT = int(sys.argv[1])
CA = os.environ.get("HAWSER_TEST_CA")


def dial(host="a.test", path="/echo", **options):
    options = dict(max_size=None, ping_interval=None, proxy=None) | options
    if CA:
        options["ssl"] = ssl.create_default_context(cafile=CA)
    scheme = "wss" if CA else "ws"
    return connect(f"{scheme}://{host}{path}", host="127.0.0.1", port=PORT, **options)


async def text_binary_and_sizes():
    async with dial() as ws:
        for size in (0, 1, 125, 126, 65535, 65536, 3 << 20):
            data = os.urandom(size)
            await ws.send(data)
            assert await ws.recv() == data, size
        await ws.send("grüße")
        assert await ws.recv() == "grüße"


async def fragments():
    async with dial() as ws:
        await ws.send(["frag", "men", "ted"])
        assert await ws.recv() == "fragmented"


async def without_compression():
    async with dial(compression=None) as ws:
        await ws.send("plain")
        assert await ws.recv() == "plain"


async def subprotocol():
    async with dial(subprotocols=["v2.chat", "v1.chat"]) as ws:
        assert ws.subprotocol == "v2.chat", ws.subprotocol


async def order():
    async with dial() as ws:
        for i in range(2000):
            await ws.send(str(i))
        for i in range(2000):
            assert await ws.recv() == str(i), i


async def pings():
    async with dial() as ws:
        assert await (await ws.ping()) >= 0


async def close_codes():
    for code in (1000, 1001, 1011, 3000, 4999):
        async with dial() as ws:
            await ws.send(f"close:{code}")
            try:
                await ws.recv()
            except ConnectionClosed as closed:
                assert closed.rcvd.code == code and closed.rcvd.reason == "bye", closed
            else:
                raise AssertionError("no close")


async def many():
    async def one(i):
        async with dial() as ws:
            await ws.send(f"{i}")
            assert await ws.recv() == f"{i}"

    await asyncio.gather(*(one(i) for i in range(100)))


async def unknown_host():
    try:
        async with dial(host="unknown.test"):
            raise AssertionError("connected")
    except InvalidStatus as refused:
        assert not CA and refused.response.status_code in (404, 421), refused
    except ssl.SSLError as refused:
        assert CA, refused


async def heartbeat():
    """The edge pings a silent client; the library answers by itself, and nothing is seen of it."""
    async with dial() as ws:
        await asyncio.sleep(3.5)
        await ws.send("still here")
        assert await ws.recv() == "still here"


CONVERSATIONS = [
    text_binary_and_sizes,
    fragments,
    without_compression,
    subprotocol,
    order,
    pings,
    close_codes,
    many,
    unknown_host,
]


async def main():
    for conversation in [heartbeat] if "heartbeat" in sys.argv else CONVERSATIONS:
        await asyncio.wait_for(conversation(), 60)
        print("ok", conversation.__name__, flush=True)


asyncio.run(main())
