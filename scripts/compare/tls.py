"""TLS: handshakes, small and large answers over HTTPS, idle connections."""

import os
import re
import socket
import ssl
import subprocess
import sys
import time

import common
import http1
from common import SPARE, Usage, free_port
from figures import at_most, ratio, summary
from http1 import BODY, CONNECTIONS
from peers import program, versions

NAME, TITLE = "tls", "TLS"
IDLE = 2_000


class Bench(http1.Bench):
    scheme = "https"

    def __init__(self, options, bins):
        super().__init__(options, bins)
        self.chain, self.key, self.both = common.certificate(self.folder)
        with open(os.path.join(self.files, "file1m"), "wb") as file:
            file.write(os.urandom(1 << 20))

    # Files have `upstream` -1, a fixed answer None.

    def command_ringway(self, port, upstream):
        action = f'files = "{self.files}"\nfile_cache_ttl = "60s"'
        if upstream is None:
            action = f'respond = "{BODY}"\ncontent_type = "text/plain"'
        listener = f"""protocol = "http"
max_connections = 20000
keepalive_requests = "off"
[[listener.route]]
{action}
[listener.tls]
certificate = "{self.chain}"
key = "{self.key}"
"""
        return self.ringway(port, listener, None)

    def command_nginx(self, port, upstream):
        if upstream == -1:
            location = f"root {self.files}; open_file_cache max=100 inactive=60s; sendfile on; tcp_nopush on;"
        else:
            location = f'default_type text/plain; return 200 "{BODY}";'
        text = f"""
daemon off;
worker_processes 1;
worker_rlimit_nofile {2 * self.connections_max + SPARE};
pid {self.folder}/{port}.pid;
error_log {self.folder}/{port}.log;
events {{ worker_connections 30000; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    keepalive_timeout 600s;
    client_body_temp_path {self.folder}/{port}.body;
    proxy_temp_path {self.folder}/{port}.proxy;
    fastcgi_temp_path {self.folder}/{port}.fastcgi;
    uwsgi_temp_path {self.folder}/{port}.uwsgi;
    scgi_temp_path {self.folder}/{port}.scgi;
    server {{
        listen 127.0.0.1:{port} ssl backlog=4096;
        ssl_certificate {self.chain};
        ssl_certificate_key {self.key};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache shared:t:10m;
        tcp_nodelay on;
        location / {{ {location} }}
    }}
}}
"""
        return [program("nginx"), "-c", self.write(f"{port}.conf", text)]

    def command_haproxy(self, port, _upstream):
        body = f'http-request return status 200 content-type text/plain string "{BODY}"'
        return self.write_haproxy(port, body, f" ssl crt {self.both}")

    def method(self):
        return (
            f"Certificates are ECDSA P-256. Answers are asked for by wrk, one thread, {CONNECTIONS} connections; "
            "handshakes are made by `openssl s_time`, one after the other, each with a small answer."
        )

    def peers(self):
        return versions("haproxy", "nginx", "openssl")

    def extent(self):
        return f"{self.options.seconds} s per run, {IDLE} idle connections"


def handshakes(*options):
    def run(bench, name):
        port = free_port()
        server = bench.start(name, port, None)
        command = ["openssl", "s_time", "-connect", f"127.0.0.1:{port}", "-www", "/", *options]
        seconds = str(max(1, round(bench.options.seconds)))
        subprocess.run([*command, "-time", "1"], capture_output=True)
        usage = Usage(server)
        output, _spent = common.run_load([*command, "-time", seconds])
        found = re.search(r"(\d+) connections in \d+ real seconds", output)
        if not found:
            sys.exit(f"openssl s_time: {output}")
        count = int(found.group(1))
        figures = {"throughput": count / float(seconds) / 1000, **usage.figures(count / 1e6)}
        server.stop()
        return figures

    return run


def idle(bench, name):
    port = free_port()
    server = bench.start(name, port, None)
    context = ssl.create_default_context(cafile=bench.chain)
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"

    def connect():
        plain = socket.create_connection(("127.0.0.1", port))
        # Otherwise the request waits 40 ms until the end of the handshake is acknowledged.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one = context.wrap_socket(plain, server_hostname="localhost")
        one.sendall(request)
        one.recv(4096)
        return one

    # What the first handshakes set up is not a connection's.
    connect().close()
    before = server.memory_kib("VmRSS:")
    held = [connect() for _ in range(IDLE)]
    time.sleep(0.5)
    after = server.memory_kib("VmRSS:")
    figures = {"memory": (after - before) / IDLE, "resident": after / 1024}
    for one in held:
        one.close()
    server.stop()
    return figures


ALL = ["ringway", "nginx", "haproxy"]
PER_HANDSHAKE = {"throughput": "1,000/s", "cpu": "CPU, us/connection"}
WORKS = {
    "tls-full": {
        "title": "Full handshakes, TLS 1.3, ECDSA P-256",
        "run": handshakes("-tls1_3", "-new"),
        "servers": ALL,
        "columns": PER_HANDSHAKE,
    },
    "tls-resumed": {
        "title": "Resumed handshakes, TLS 1.2",
        "run": handshakes("-tls1_2", "-reuse"),
        "servers": ALL,
        "columns": PER_HANDSHAKE,
    },
    "tls-small": {
        "title": f"A fixed answer of 12 bytes, {CONNECTIONS} connections",
        "run": http1.under_load(http1.answering),
        "servers": ALL,
        "columns": http1.COLUMNS,
        "half_load": http1.half_load(http1.answering),
    },
    "tls-bulk": {
        "title": "A file of 1 MiB",
        "run": http1.bulk("/file1m"),
        "servers": ["ringway", "nginx"],
        "columns": {"throughput": "GB/s", "cpu": "CPU, s/GB"},
    },
    "tls-idle": {
        "title": "Idle connections that have asked once",
        "run": idle,
        "servers": ALL,
        "columns": {},
        "runs": 1,
    },
}


def targets(everything):
    """What is to be reached."""

    def cpu(text, work, limit):
        return at_most(work, text, ratio(everything[work], "cpu", "nginx"), limit)

    own, other = (summary(everything["tls-idle"], name, "memory") for name in ("ringway", "nginx"))
    return [
        cpu("full handshake: CPU over nginx's", "tls-full", 0.7),
        cpu("resumed handshake: CPU over nginx's", "tls-resumed", 0.8),
        cpu("small answers: CPU per request over nginx's", "tls-small", 0.95),
        cpu("1 MiB answers: CPU per byte over nginx's", "tls-bulk", 1.0),
        at_most("tls-idle", "idle: memory over nginx's", own / other, 0.3),
    ]
