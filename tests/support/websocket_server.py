# SPDX-License-Identifier: MIT
"""websocket_server.py ADDRESS PORT: sends each message back, texts in reverse."""

import asyncio
import sys

import websockets


async def echo(connection, path=None):
    async for message in connection:
        await connection.send(message[::-1] if isinstance(message, str) else message)


async def main(address, port):
    async with websockets.serve(echo, address, int(port), max_size=1 << 24):
        print("ready", flush=True)
        await asyncio.Future()


asyncio.run(main(*sys.argv[1:]))
