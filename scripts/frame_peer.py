#!/usr/bin/env python3
"""A client of the framed protocol, written from docs/protocol.md alone (needs python3).

    target/release/ringway serve &          # the built-in configuration
    scripts/frame_peer.py 127.0.0.1:7002    # the server
    scripts/frame_peer.py 127.0.0.1:7003    # the proxy in front of it

Asks everything that the specification has, and breaks its rules one by one; says what was not as
it should be, and exits with 1.
"""

import socket
import struct
import sys
import zlib

HELLO, PING, PONG, ECHO, MESSAGE, GET, DATA, END, STATS, ERROR, GOAWAY, CREDIT, RESET = range(1, 14)
LAST, IDEMPOTENT = 1, 2


def checked(head, payload):
    return head + payload + struct.pack(">I", zlib.crc32(head + payload))


def v1(command, payload=b""):
    return checked(struct.pack(">BBH", 1, command, len(payload)), payload)


def v2(command, stream, payload=b"", flags=LAST | IDEMPOTENT):
    return checked(struct.pack(">BBHIB", 2, command, len(payload), stream, flags), payload)


def hello(lowest, highest, window=10, max_payload=1000, credit=None):
    features = 15 if credit is None else 31
    fixed = struct.pack(">BBBBHHI", lowest, highest, 0, 0, window, max_payload, features)
    return v1(HELLO, fixed + (b"" if credit is None else struct.pack(">I", credit)))


class Connection:
    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=5)
        self.held = b""

    def send(self, *frames):
        self.socket.sendall(b"".join(frames))
        return self

    def finish(self):
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def need(self, count):
        while len(self.held) < count:
            piece = self.socket.recv(65536)
            if not piece:
                raise EOFError
            self.held += piece

    def frame(self):
        """Version, command, stream, payload; EOFError at the end."""
        self.need(4)
        version, command, length = struct.unpack(">BBH", self.held[:4])
        head = {1: 4, 2: 9}[version]
        self.need(head + length + 4)
        frame, self.held = self.held[: head + length + 4], self.held[head + length + 4 :]
        assert zlib.crc32(frame[:-4]) == struct.unpack(">I", frame[-4:])[0], "checksum"
        stream = struct.unpack(">I", frame[4:8])[0] if version == 2 else 0
        return version, command, stream, frame[head:-4]

    def rest(self):
        frames = []
        try:
            while True:
                frames.append(self.frame())
        except EOFError:
            return frames


def code(frame):
    return struct.unpack(">H", frame[3][:2])[0] if frame[1] == ERROR else None


FAILURES = []


def expect(what, found, expected):
    if found != expected:
        FAILURES.append(what)
        print(f"{what}: {found!r} instead of {expected!r}")


def requests(address):
    value = b"Ringway carries frames"
    asked = [v1(PING, b"x"), v1(ECHO, b"hello"), v1(GET, b"motd"), v1(0x33), v1(PONG), v1(0x41)]
    asked += [v1(MESSAGE, b"\x04echoabc"), v1(MESSAGE, b"\x09x"), v1(GET, b"nothing"), v1(STATS)]
    frames = Connection(address).send(*asked).finish().rest()
    shown = [(frame[1], code(frame) or frame[3]) for frame in frames[:-1]]
    end = struct.pack(">QI", len(value), zlib.crc32(value))
    expected = [(PONG, b"x"), (ECHO, b"hello"), (DATA, value), (END, end), (ERROR, 0x10)]
    expected += [(ERROR, 0x11), (ERROR, 0x10), (MESSAGE, b"\x04echoabc"), (ERROR, 0x12)]
    expected += [(ERROR, 0x13)]
    expect("requests of version 1, in order", shown, expected)
    expect("counters", frames[-1][1], STATS)


def streams(address):
    connection = Connection(address).send(hello(1, 2))
    chosen = connection.frame()
    expect("the answer to HELLO", (chosen[0], chosen[1], chosen[3][:3]), (1, HELLO, b"\x01\x02\x02"))
    connection.send(*[v2(ECHO, number, b"%d" % number) for number in range(1, 51)])
    answers = sorted(connection.frame()[2:] for _ in range(50))
    expect("50 streams in a window of 10", answers, [(n, b"%d" % n) for n in range(1, 51)])
    last = connection.send(v2(ECHO, 7)).rest()
    expect("a stream that was used", [code(frame) for frame in last], [0x05])


def flow(address):
    value = b"Ringway carries frames"
    connection = Connection(address).send(hello(1, 2, credit=5))
    chosen = connection.frame()[3]
    expect("HELLO with flow control", chosen[2:3] + chosen[8:], struct.pack(">BII", 2, 31, 5))
    connection.send(v2(GET, 1, b"motd"), v2(ECHO, 2, b"overtakes"))
    first = sorted(connection.frame()[1:] for _ in range(2))
    expect("as much as there is credit for", first, [(ECHO, 2, b"overtakes"), (DATA, 1, value[:5])])
    connection.send(v2(CREDIT, 1, struct.pack(">I", 100), 0))
    rest = [connection.frame()[1:] for _ in range(2)]
    end = struct.pack(">QI", len(value), zlib.crc32(value))
    expect("the rest, with credit", rest, [(DATA, 1, value[5:]), (END, 1, end)])
    connection.send(v2(GET, 3, b"motd"), v2(RESET, 3, b"", 0), v2(RESET, 1, b"", 0))
    frames = [connection.frame()]
    while frames[-1][1] == DATA:
        frames.append(connection.frame())
    expect("an answer that was reset", code(frames[-1]), 0x24)
    last = connection.send(v2(CREDIT, 3, struct.pack(">I", 0), 0)).rest()
    expect("credit of nothing", [code(frame) for frame in last], [0x09])


def broken(address):
    cases = {
        "another protocol": ([b"GET / HTTP/1.1\r\n\r\n"], [None, 0x01]),
        "a newer version": ([hello(3, 9)], [None, 0x01]),
        "a second HELLO": ([v1(ECHO), hello(1, 2)], [None, 0x11]),
        "a wrong checksum": ([v1(ECHO, b"ok"), v1(ECHO, b"bad")[:-1] + b"!"], [None, 0x02]),
        "a payload larger than agreed": ([hello(1, 1, 10, 64), v1(ECHO, b"x" * 65)], [None, 0x03]),
        "a frame without its end": ([v1(ECHO, b"ok")[:7]], [0x04]),
    }
    for what, (sent, expected) in cases.items():
        frames = Connection(address).send(*sent).finish().rest()
        expect(what, [code(frame) for frame in frames], expected)


def main():
    if len(sys.argv) != 2 or ":" not in sys.argv[1]:
        sys.exit(__doc__)
    host, _, port = sys.argv[1].rpartition(":")
    for check in (requests, streams, flow, broken):
        check((host, int(port)))
    print("as specified" if not FAILURES else f"{len(FAILURES)} not as specified")
    sys.exit(bool(FAILURES))


if __name__ == "__main__":
    main()
