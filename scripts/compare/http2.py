"""HTTP/2: small answers, reverse proxies, files, connections."""

import contextlib
import os
import re
import socket
import sys
import time

import common
import http1
from common import Usage, free_port
from figures import at_most, ratio, summary
from half_load import HalfLoad
from peers import envoy, with_envoy

NAME, TITLE = "http2", "HTTP/2"
BODY = http1.BODY
ENVOY_HTTP2 = """    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http2_protocol_options: {} }
"""
# Connections, and streams of each at a time.
SHAPES = {"small": (8, 32), "small1": (1, 8), "small64": (64, 8)}


class Bench(http1.Bench):
    """As of HTTP/1.1; clients begin with the preface, or agree on HTTP/2 by ALPN."""

    def __init__(self, options, bins):
        super().__init__(options, bins)
        # What clients speak: HTTP/2 in clear text or over TLS, or HTTP/1.1.
        self.front = "h2"
        # Whether the upstream of proxies speaks HTTP/2.
        self.is_http2_behind = False
        self.chain, self.key, self.both = common.certificate(self.folder)
        with open(os.path.join(self.files, "small"), "w", encoding="utf-8") as file:
            file.write(BODY)

    def change(self, path, *changes):
        """Replaces texts in a file, each of which is there."""
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for old, new in changes:
            if old not in text:
                sys.exit(f"{path}: {old!r} is not there")
            text = text.replace(old, new, 1)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def command_ringway(self, port, upstream):
        command = super().command_ringway(port, upstream)
        if self.is_http2_behind and upstream not in (None, -1):
            with open(command[-1], "a", encoding="utf-8") as file:
                file.write('protocol = "http2"\n')
        if self.front == "tls":
            tls = f'tls = {{ certificate = "{self.chain}", key = "{self.key}" }}\n'
            self.change(command[-1], ("[[listener.route]]", f"{tls}[[listener.route]]"))
        return command

    def command_nginx(self, port, upstream):
        command = super().command_nginx(port, upstream)
        secured = ""
        if self.front == "tls":
            secured = f"ssl_certificate {self.chain}; ssl_certificate_key {self.key};"
        listen = "ssl http2 backlog=4096;" if secured else "http2 backlog=4096;"
        self.change(
            command[-1],
            ("backlog=4096;", f"{listen} {secured}"),
            ("access_log off;", "access_log off; http2_max_requests 100000000;"),
        )
        return command

    def write_haproxy(self, port, body, secured=""):
        if self.is_http2_behind:
            body = re.sub(r"(server s \S+)", r"\1 proto h2", body)
        fronts = {"h2": " proto h2", "tls": f" ssl crt {self.both} alpn h2", "http1": ""}
        return super().write_haproxy(port, body, f"{fronts[self.front]}{secured}")

    def command_h2o(self, port, upstream):
        # It knows no fixed answers; its smallest is a file.
        command = super().command_h2o(port, -1 if upstream is None else upstream)
        if self.front == "tls":
            secured = f"  ssl:\n    certificate-file: {self.chain}\n    key-file: {self.key}\n"
            self.change(command[-1], ("hosts:\n", f"{secured}hosts:\n"))
        return command

    def command_envoy(self, port, upstream):
        command = super().command_envoy(port, upstream)
        path = command[command.index("-c") + 1]
        if self.front == "h2":
            self.change(path, ("stat_prefix: t\n", "stat_prefix: t\n          codec_type: HTTP2\n"))
        if self.is_http2_behind:
            self.change(path, ("    type: STATIC\n", ENVOY_HTTP2 + "    type: STATIC\n"))
        return command

    def method(self):
        missing = "" if envoy() else " Envoy was not there to be measured."
        return (
            "The load is h2load, one thread, in clear text by prior knowledge unless TLS is named, and wrk where "
            "clients speak HTTP/1.1; the upstream of the proxies is a bare io_uring loop that speaks HTTP/1.1 with a "
            "fixed answer, or a second Ringway by HTTP/2, and shares the load's core. "
            f"h2o, which has no fixed answers, serves a file of 12 bytes.{missing}"
        )


def h2load(bench, port, path, shape, seconds=None):
    connections, streams = shape
    command = ["h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{round(seconds or bench.options.seconds)}"]
    # Windows that hold nobody up.
    scheme = "https" if bench.front == "tls" else "http"
    command += ["-w30", "-W30", f"{scheme}://127.0.0.1:{port}{path}"]
    output, spent = common.run_load(command)
    found = re.search(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed", output)
    if not found or int(found.group(3)):
        sys.exit(f"h2load: {output}")
    done = int(found.group(1))
    data = int(re.search(r"\((\d+)\) data", output).group(1))
    mean = re.search(r"time for request:\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)", output)
    micros = float(mean.group(1)) * {"us": 1, "ms": 1e3, "s": 1e6}[mean.group(2)]
    return {"requests": done, "read": data, "mean": micros, **spent}


# How a work is served: each a context manager that gives a server under test and its port.


@contextlib.contextmanager
def speaking(bench, front="h2", is_http2_behind=False):
    """What clients and upstreams speak meanwhile."""
    before = (bench.front, bench.is_http2_behind)
    (bench.front, bench.is_http2_behind) = (front, is_http2_behind)
    try:
        yield
    finally:
        (bench.front, bench.is_http2_behind) = before


@contextlib.contextmanager
def answering_over_tls(bench, name):
    with speaking(bench, "tls"), bench.serving(name) as served:
        yield served


@contextlib.contextmanager
def proxying_to_http2(bench, name):
    with bench.behind(bench.command_ringway) as (_, behind):
        with speaking(bench, is_http2_behind=True), bench.serving(name, behind) as served:
            yield served


@contextlib.contextmanager
def proxying_from_http1(bench, name):
    with bench.behind(bench.command_ringway) as (_, behind):
        with speaking(bench, "http1", True), bench.serving(name, behind) as served:
            yield served


def path_of(serve, name, path):
    """A fixed answer, or with h2o the file of the same bytes."""
    is_file = name == "h2o" and path == "/" and serve is not http1.proxying
    return "/small" if is_file else path


def under_load(serve, shape, path="/"):
    def run(bench, name):
        with serve(bench, name) as (server, port):
            own = path_of(serve, name, path)
            h2load(bench, port, own, shape, 1)
            usage = Usage(server)
            done = h2load(bench, port, own, shape)
            return {
                "throughput": done["requests"] / bench.options.seconds / 1000,
                **usage.figures(done["requests"] / 1e6),
                "mean": done["mean"],
            }

    return run


def half_load(serve, shape, path="/"):
    """The same GETs in an open loop."""

    def arguments(bench, name, port):
        own = path_of(serve, name, path)
        secured = ["--insecure"] if bench.front == "tls" else []
        scheme = "https" if secured else "http"
        flags = common.flags(dict(zip(("connections", "streams"), shape)))
        return [f"{scheme}://127.0.0.1:{port}{own}", "--http2", *secured, *flags]

    return HalfLoad(serve, arguments)


def bulk(bench, name):
    """A file so large that only bytes can be counted."""
    with http1.with_files(bench, name) as (server, port):
        h2load(bench, port, "/file100m", (1, 1), 1)
        usage = Usage(server)
        done = h2load(bench, port, "/file100m", (1, 1))
        gigabytes = done["read"] / 1e9
        return {"throughput": gigabytes / bench.options.seconds, **usage.figures(gigabytes)}


def idle(bench, name):
    """Connections that have asked once."""
    port = free_port()
    server = bench.start(name, port, None)
    before = server.memory_kib("VmRSS:")
    path = b"/small" if name == "h2o" else b"/"
    # :method GET, :scheme http, :path and :authority as literals that no table keeps.
    block = b"\x82\x86\x04" + bytes([len(path)]) + path + b"\x01\x01a"
    head = len(block).to_bytes(3, "big") + b"\x01\x05" + (1).to_bytes(4, "big")
    request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5) + head + block
    held = []
    for _ in range(bench.idle):
        one = socket.create_connection(("127.0.0.1", port))
        one.sendall(request)
        got = b""
        while BODY.encode() not in got:
            part = one.recv(4096)
            if not part:
                sys.exit(f"{name} closes an idle connection")
            got += part
        held.append(one)
    time.sleep(0.5)
    after = server.memory_kib("VmRSS:")
    figures = {"memory": (after - before) / bench.idle, "resident": after / 1024}
    for one in held:
        one.close()
    server.stop()
    return figures


COLUMNS = {"throughput": "1,000/s", "cpu": "CPU, us/request"}
PEERS = with_envoy("ringway", "h2o", "nginx", "haproxy", "envoy")
WORKS = {
    **{
        key: {
            "title": f"12 bytes, {connections} connections, {streams} streams of each",
            "run": under_load(http1.answering, (connections, streams)),
            "servers": PEERS,
            "columns": COLUMNS,
            "half_load": half_load(http1.answering, (connections, streams)),
        }
        for key, (connections, streams) in SHAPES.items()
    },
    "small-tls": {
        "title": "12 bytes over TLS, 8 connections, 32 streams of each",
        "run": under_load(answering_over_tls, SHAPES["small"]),
        "servers": ["ringway", "h2o", "nginx", "haproxy"],
        "columns": COLUMNS,
        "half_load": half_load(answering_over_tls, SHAPES["small"]),
    },
    "proxy2": {
        "title": "Reverse proxy to an upstream of HTTP/1.1, 8 connections, 32 streams of each",
        "run": under_load(http1.proxying, SHAPES["small"]),
        "servers": PEERS,
        "columns": COLUMNS,
        "half_load": half_load(http1.proxying, SHAPES["small"]),
    },
    "proxy22": {
        "title": "Reverse proxy to an upstream of HTTP/2, 8 connections, 32 streams of each",
        "run": under_load(proxying_to_http2, SHAPES["small"]),
        "servers": with_envoy("ringway", "haproxy", "envoy"),
        "columns": COLUMNS,
        "half_load": half_load(proxying_to_http2, SHAPES["small"]),
    },
    "proxy12": {
        "title": f"Reverse proxy from HTTP/1.1 to an upstream of HTTP/2, {http1.CONNECTIONS} connections",
        "run": http1.under_load(proxying_from_http1),
        "servers": with_envoy("ringway", "haproxy", "envoy"),
        "columns": http1.COLUMNS,
        "half_load": http1.half_load(proxying_from_http1),
    },
    "http2-file100k": {
        "title": "A file of 100 KiB, 8 connections, 8 streams of each",
        "run": under_load(http1.with_files, (8, 8), "/file100k"),
        "servers": ["ringway", "nginx", "h2o"],
        "columns": COLUMNS,
        "half_load": half_load(http1.with_files, (8, 8), "/file100k"),
    },
    "http2-file100m": {
        "title": "A file of 100 MiB",
        "run": bulk,
        "servers": ["ringway", "nginx", "h2o"],
        "columns": {"throughput": "GB/s", "cpu": "CPU, s/GB"},
    },
    "http2-idle": {
        "title": "Idle connections that have asked once",
        "run": idle,
        "servers": ["ringway", "nginx", "h2o"],
        "columns": {},
        "runs": 1,
    },
}


def targets(everything):
    """What is to be reached."""
    rows = []

    def most(text, key, peer, limit):
        if key in everything and peer in everything[key]:
            rows.append(at_most(key, text, ratio(everything[key], "cpu", peer), limit))

    for key, (connections, streams) in SHAPES.items():
        shape = f"12 bytes, {connections} x {streams}"
        most(f"{shape}: CPU per request over h2o's", key, "h2o", 0.6)
    most("12 bytes over TLS, 8 x 32: CPU per request over h2o's", "small-tls", "h2o", 0.6)
    for key, over in (("small", ""), ("small-tls", " over TLS")):
        most(f"12 bytes{over}, 8 x 32: CPU per request over nginx's", key, "nginx", 0.2)
    for peer in PEERS[1:]:
        if peer != "h2o":
            most(f"proxy to HTTP/1.1: CPU per request over {peer}'s", "proxy2", peer, 0.5)
    for peer in with_envoy("haproxy", "envoy"):
        most(f"proxy to HTTP/2: CPU per request over {peer}'s", "proxy22", peer, 0.5)
        most(f"proxy from HTTP/1.1 to HTTP/2: CPU per request over {peer}'s", "proxy12", peer, 0.5)
    most("100 KiB: CPU per request over nginx's", "http2-file100k", "nginx", 1.0)
    most("100 MiB: CPU per byte over h2o's", "http2-file100m", "h2o", 1.0)
    memory = summary(everything["http2-idle"], "ringway", "memory")
    rows.append(at_most("http2-idle", "idle: KiB per connection", memory, 2))
    return rows
