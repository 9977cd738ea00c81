"""PyPI's websockets as a peer of the Autobahn test suite, which shows that scripts/autobahn.sh works:

    peer.py server PORT          sends each message back
    peer.py client URL AGENT     runs all cases of a fuzzing server
"""

import asyncio
import logging
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

MESSAGE_MAX = 64 << 20


async def echo(connection):
    try:
        async for message in connection:
            await connection.send(message)
    except ConnectionClosed:
        pass


async def server(port):
    async with serve(echo, "127.0.0.1", int(port), max_size=MESSAGE_MAX, ping_interval=None):
        await asyncio.get_running_loop().create_future()


async def client(url, agent):
    # The suite's server asks only for what is offered: with less, parts of section 13 are not run.
    offer = ClientPerMessageDeflateFactory(client_no_context_takeover=True, client_max_window_bits=True)
    settings = {"max_size": MESSAGE_MAX, "ping_interval": None, "compression": None, "proxy": None}
    async with connect(f"{url}/getCaseCount", **settings) as connection:
        count = int(await connection.recv())
    for case in range(1, count + 1):
        place = f"{url}/runCase?case={case}&agent={agent}"
        try:
            async with connect(place, extensions=[offer], **settings) as connection:
                await echo(connection)
        except (OSError, InvalidHandshake, ConnectionClosed) as error:
            print(f"case {case}: {error}", file=sys.stderr)
    async with connect(f"{url}/updateReports?agent={agent}", **settings) as connection:
        await connection.wait_closed()


logging.getLogger("websockets").setLevel(logging.CRITICAL)
asyncio.run({"server": server, "client": client}[sys.argv[1]](*sys.argv[2:]))
