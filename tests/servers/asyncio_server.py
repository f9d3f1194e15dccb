# SPDX-License-Identifier: MIT
"""An ordinary HTTPS server with asyncio: asyncio_server.py PORT CERTIFICATE KEY

Any request is answered with how the server sees its client. SIGTERM ends it when its clients are served.
"""

import asyncio
import signal
import ssl
import sys

clients = set()


async def serve(reader, writer):
    clients.add(asyncio.current_task())
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        host, port = writer.get_extra_info("peername")[:2]
        print(f"seen {host} {head.decode().splitlines()[0]}", flush=True)
        body = f"client {host} {port}\n".encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))
        await writer.drain()
    finally:
        writer.close()
        clients.discard(asyncio.current_task())


async def main(port, certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(serve, "0.0.0.0", int(port), ssl=context)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print("listening", flush=True)
    await stop.wait()
    server.close()
    await asyncio.gather(*clients, return_exceptions=True)


asyncio.run(main(*sys.argv[1:]))
