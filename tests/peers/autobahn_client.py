"""Python websockets as the client under test of a fuzzing server: sends back what it gets.

usage: autobahn_client.py HOST:PORT AGENT"""

import asyncio
import sys

from websockets.asyncio.client import connect

AT, AGENT = sys.argv[1:3]


def dial(path, **options):
    return connect(f"ws://{AT}{path}", max_size=None, ping_interval=None, proxy=None, **options)


async def run(case):
    try:
        async with dial(f"/runCase?case={case}&agent={AGENT}", close_timeout=3) as ws:
            async for message in ws:
                await ws.send(message)
    except Exception as error:  # The verdict is the fuzzing server's.
        print(case, repr(error), file=sys.stderr)


async def main():
    async with dial("/getCaseCount") as ws:
        cases = int(await ws.recv())
    for case in range(1, cases + 1):
        await asyncio.wait_for(run(case), 60)
    async with dial(f"/updateReports?agent={AGENT}"):
        pass
    print(cases)


asyncio.run(main())
