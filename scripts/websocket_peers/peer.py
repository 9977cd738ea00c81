"""PyPI's websockets as a peer, and PyPI's h2 as a way to a server's WebSockets by HTTP/2 (RFC 8441).

    peer.py client URL LABEL OPTIONS    checks the server; OPTIONS are words of `deflate declined takeover endpoint topics`
    peer.py server PORT plain|deflate   the server that scripts/websocket_peers.sh describes
    peer.py bridge PORT TO              takes WebSockets of HTTP/1.1, and asks the port TO for them by HTTP/2 in clear
"""
import asyncio
import base64
import hashlib
import json
import os
import ssl
import struct
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

FRAGMENTS = "fragment " * 3000


def expect(found, expected):
    if found != expected:
        raise AssertionError(f"{repr(found)[:200]} instead of {repr(expected)[:200]}")


async def closed(ws):
    """The code and the reason with which the server closes."""
    try:
        while True:
            await ws.recv()
    except ConnectionClosed as error:
        rcvd = error.rcvd
        return (rcvd.code, rcvd.reason) if rcvd else (1006, str(error))


async def extensions(ws, options):
    found = ws.response.headers.get("sec-websocket-extensions", "")
    expect("permessage-deflate" in found, "deflate" in options)
    if "endpoint" in options and "deflate" in options:
        expect("no_context_takeover" in found, "takeover" not in options)


async def echoes(ws, options):
    for message in ["text", "grüße, 世界 🌍", "", b"", b"\x00\xff", "a" * 126, b"b" * 65536]:
        await ws.send(message)
        expect(await ws.recv(), message)


async def large(ws, options):
    for message in [os.urandom(1 << 20), "sixteen letters." * (1 << 16)]:
        await ws.send(message)
        expect(await ws.recv(), message)


async def many(ws, options):
    for number in range(200):
        await ws.send(f"message {number} " * 20)
    for number in range(200):
        expect(await ws.recv(), f"message {number} " * 20)


async def fragments(ws, options):
    async def parts():
        for part in ["gr", "ü", "", "ße", " " * 1000]:
            yield part
            await (await ws.ping(b"between"))
    await ws.send(parts())
    expect(await ws.recv(), "grüße" + " " * 1000)
    await ws.send([b"a", b"", b"b" * 70000, b"c"])
    expect(await ws.recv(), b"a" + b"b" * 70000 + b"c")


async def pings(ws, options):
    for payload in [b"", b"ping", b"p" * 125]:
        await asyncio.wait_for(await ws.ping(payload), 10)


async def subprotocol(ws, options):
    expect(ws.subprotocol, "chat.v1")


async def close(ws, options):
    await ws.close(4321, "done hère")
    expect(ws.protocol.close_rcvd.code, 4321)


async def server_pings(ws, options):
    await ws.send("ping")
    expect(await ws.recv(), "pong from server")


async def server_fragments(ws, options):
    await ws.send("fragments")
    expect(await ws.recv(), FRAGMENTS)


async def server_closes(ws, options):
    await ws.send("close 4444 that is äll")
    expect(await closed(ws), (4444, "that is äll"))


async def not_utf8(ws, options):
    await ws.send(b"\xc3\x28", text=True)
    expect((await closed(ws))[0], 1007)


async def too_large(ws, options):
    for size in [(1 << 20) + 1, 1 << 23]:
        other = await connect(ws.url, **ws.arguments)
        try:
            await other.send(b"z" * size)
        except (ConnectionClosed, AttributeError):
            pass  # It was closed meanwhile; asyncio's transport then may have no loop.
        expect((await closed(other))[0], 1009)


async def topics_json(ws, options):
    topic = f"python/{os.urandom(8).hex()}"
    await ws.send(json.dumps({"op": "subscribe", "topic": topic + "/+", "id": 1}))
    expect(json.loads(await ws.recv()), {"op": "ok", "id": 1})
    await ws.send(json.dumps({"op": "publish", "topic": topic + "/a", "data": {"x": "ü"}}))
    expect(json.loads(await ws.recv()), {"op": "message", "topic": topic + "/a", "data": {"x": "ü"}})


async def topics_binary(ws, options):
    topic = f"python/{os.urandom(8).hex()}".encode()
    await ws.send(b"\x01\x00\x00\x00\x07" + topic)
    expect(await ws.recv(), b"\x81\x00\x00\x00\x07")
    named = struct.pack("!BH", 0, len(topic)) + topic + b"payload"
    await ws.send(b"\x03\x00\x00\x00\x00" + named)
    expect(await ws.recv(), b"\x83" + named)


async def client(url, label, options):
    options = options.split()
    checks = [extensions, echoes, large, many, fragments, pings, subprotocol, close]
    checks += [not_utf8, too_large] if "endpoint" in options else [server_pings, server_fragments, server_closes]
    protocols = {topics_json: ["ringway.topics.v1.json"], topics_binary: ["ringway.topics.v1.binary"]}
    if "topics" in options:
        checks = [topics_json, topics_binary]
    arguments = {"max_size": None, "compression": "deflate" if "deflate" in options or "declined" in options else None, "proxy": None}
    if url.startswith("wss:"):
        arguments["ssl"] = ssl._create_unverified_context()
    for check in checks:
        name = f"{label}: {check.__name__.replace('_', ' ')}"
        offered = protocols.get(check, ["none.v9", "chat.v1"])
        try:
            async with asyncio.timeout(60):
                async with connect(url, subprotocols=offered, **arguments) as ws:
                    ws.url, ws.arguments = url, arguments
                    await check(ws, options)
            print(f"ok      {name}")
        except Exception as error:
            print(f"FAILED  {name}: {type(error).__name__}: {error}")
    print("done")


async def answer(ws):
    try:
        async for message in ws:
            if message == "ping":
                await (await ws.ping(b"from server"))
                await ws.send("pong from server")
            elif message == "fragments":
                await ws.send([FRAGMENTS[at : at + 4000] for at in range(0, len(FRAGMENTS), 4000)])
            elif isinstance(message, str) and message.startswith("close "):
                _, code, reason = message.split(" ", 2)
                await ws.close(int(code), reason)
            else:
                await ws.send(message)
    except ConnectionClosed:
        pass
    received = ws.protocol.close_rcvd
    print("closed", received.code if received else 1006, received.reason if received else "", flush=True)


async def server(port, compression):
    def select(connection, offered):
        return "chat.v1" if "chat.v1" in offered else None
    compression = "deflate" if compression == "deflate" else None
    arguments = {"max_size": None, "compression": compression, "select_subprotocol": select}
    async with serve(answer, "127.0.0.1", int(port), **arguments) as listening:
        await listening.serve_forever()


async def bridge(port, to):
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.events import DataReceived, RemoteSettingsChanged, ResponseReceived, StreamEnded, StreamReset, WindowUpdated

    async def take(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        path = head[0].split(" ")[1]
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
        h2_reader, h2_writer = await asyncio.open_connection("127.0.0.1", int(to))
        h2 = H2Connection(H2Configuration(header_encoding="utf-8"))
        h2.initiate_connection()
        h2_writer.write(h2.data_to_send())
        stream, ready, window = None, asyncio.Event(), asyncio.Event()

        async def send():
            await ready.wait()
            while data := await reader.read(65536):
                while data:
                    room = min(h2.local_flow_control_window(stream), h2.max_outbound_frame_size)
                    if room <= 0:
                        window.clear()
                        await window.wait()
                        continue
                    h2.send_data(stream, data[:room])
                    data = data[room:]
                    h2_writer.write(h2.data_to_send())
                    await h2_writer.drain()
            h2.end_stream(stream)
            h2_writer.write(h2.data_to_send())

        sending = asyncio.create_task(send())
        open_ = True
        while open_ and (data := await h2_reader.read(65536)):
            for event in h2.receive_data(data):
                if isinstance(event, RemoteSettingsChanged) and stream is None:
                    assert h2.remote_settings.enable_connect_protocol == 1, "the server has no extended CONNECT"
                    stream = h2.get_next_available_stream_id()
                    copied = ["sec-websocket-version", "sec-websocket-protocol", "sec-websocket-extensions", "origin"]
                    h2.send_headers(stream, [
                        (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", path),
                        (":authority", fields["host"]), *((name, fields[name]) for name in copied if name in fields),
                    ])
                elif isinstance(event, ResponseReceived):
                    found = dict(event.headers)
                    status = found.pop(":status")
                    key = fields["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
                    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
                    lines = [f"HTTP/1.1 {'101' if status == '200' else status} Bridge", "upgrade: websocket"]
                    lines += ["connection: upgrade", f"sec-websocket-accept: {accept}"]
                    lines += [f"{name}: {value}" for name, value in found.items() if name.startswith("sec-")]
                    writer.write("\r\n".join([*lines, "", ""]).encode())
                    ready.set()
                elif isinstance(event, DataReceived):
                    writer.write(event.data)
                    await writer.drain()
                    h2.acknowledge_received_data(event.flow_controlled_length, stream)
                elif isinstance(event, (StreamEnded, StreamReset)):
                    open_ = False
                if isinstance(event, (WindowUpdated, RemoteSettingsChanged)):
                    window.set()
            h2_writer.write(h2.data_to_send())
        # The client may go on sending what nobody takes, and must not be reset before it has read the close frame.
        sending.cancel()
        try:
            writer.write_eof()
            async with asyncio.timeout(10):
                while await reader.read(65536):
                    pass
        except OSError:
            pass
        writer.close()
        h2_writer.close()

    listening = await asyncio.start_server(take, "127.0.0.1", int(port))
    await listening.serve_forever()


asyncio.run({"client": client, "server": server, "bridge": bridge}[sys.argv[1]](*sys.argv[2:]))
