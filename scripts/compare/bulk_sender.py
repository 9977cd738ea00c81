"""Sends as fast as it can over many connections: `bulk_sender.py HOST:PORT CONNECTIONS`.

For each line on standard input it prints how many bytes it has sent so far; it ends with standard
input. Bytes go from a file in memory by sendfile(2), so that little of the core's time is the
sender's.
"""

import os
import selectors
import socket
import sys

PART = 256 * 1024


def main():
    host, _, port = sys.argv[1].rpartition(":")
    memory = os.memfd_create("bulk")
    os.ftruncate(memory, PART)
    # Pages that were never written are all one page, which the receiver's cache would flatter.
    os.pwrite(memory, b"b" * PART, 0)
    waiting = selectors.EpollSelector()
    waiting.register(sys.stdin.fileno(), selectors.EVENT_READ)
    for _ in range(int(sys.argv[2])):
        one = socket.create_connection((host, int(port)))
        one.setblocking(False)
        waiting.register(one, selectors.EVENT_WRITE)
    sent = 0
    while True:
        for key, _events in waiting.select():
            if key.fileobj == sys.stdin.fileno():
                if not os.read(key.fd, 4096):
                    return
                print(sent, flush=True)
                continue
            try:
                sent += os.sendfile(key.fd, memory, 0, PART)
            except BlockingIOError:
                pass


if __name__ == "__main__":
    main()
