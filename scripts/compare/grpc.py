"""gRPC: calls and streams that are answered, and calls that are passed on."""

import json
import os
import re
import subprocess
import sys

import common
import http1
import http2
from common import OTHERS, Process, Usage, at_most, free_port, version

NAME, TITLE, PAGE = "grpc", "gRPC", "docs/benchmarks-grpc.md"
PEERS = "benches/peers"
CONNECTIONS, STREAMS = 8, 32
UNARY, STREAM = "/bench.Echo/Unary", "/bench.Echo/Stream"
# A message of 100 bytes in its field 1, framed.
MESSAGE = bytes([0, 0, 0, 0, 102, 10, 100]) + b"x" * 100


def build_peers():
    """Builds the crate of peers, and finds its programs."""
    command = ["cargo", "build", "--release", "--locked", "--manifest-path", f"{PEERS}/Cargo.toml"]
    subprocess.run(command, check=True)
    found = subprocess.run(
        [*command, "--quiet", "--message-format=json"], check=True, stdout=subprocess.PIPE, text=True
    )
    messages = (json.loads(line) for line in found.stdout.splitlines())
    return {one["target"]["name"]: one["executable"] for one in messages if one.get("executable")}


class Bench(http2.Bench):
    """Proxies as of HTTP/2 on both sides; servers are programs of their own."""

    def __init__(self, options, bins):
        super().__init__(options, {**bins, **build_peers()})
        self.is_http2_behind = True
        self.message = os.path.join(self.folder, "message")
        with open(self.message, "wb") as file:
            file.write(MESSAGE)

    def command_ringway(self, port, upstream):
        if upstream is None:
            return [self.bins["grpc"], f"127.0.0.1:{port}"]
        return super().command_ringway(port, upstream)

    def command_tonic(self, port, _upstream):
        return [self.bins["tonic-echo"], f"127.0.0.1:{port}"]

    def command_nginx(self, port, upstream):
        command = super().command_nginx(port, upstream)
        with open(command[-1], encoding="utf-8") as file:
            text = file.read()
        text = re.sub(r"proxy_pass http://u;.*?\"\";", "grpc_pass grpc://u;", text)
        with open(command[-1], "w", encoding="utf-8") as file:
            file.write(text)
        return command

    def method(self):
        missing = "" if http1.envoy() else " Envoy was not there to be measured."
        with open(f"{PEERS}/Cargo.lock", encoding="utf-8") as file:
            tonic = re.search(r'name = "tonic"\nversion = "(.*)"', file.read()).group(1)
        peers = [version(["haproxy", "-v"]), version(["nginx", "-v"]), f"tonic {tonic}"]
        if http1.envoy():
            peers.append(version([http1.envoy(), "--version"]))
        return [
            f"{common.method(f'{self.options.runs} rounds')} Messages have 100 bytes. The load of unary calls is "
            "h2load, one thread; that of streams a client of the `h2` crate, which sends the next message once the "
            "one before has come back. tonic's server has a runtime of one thread, as `benches/peers` shows; "
            "Ringway's is `benches/grpc.rs`, one worker. Behind the proxies is Ringway's server, which shares the "
            f"load's core.{missing}",
            "",
            f"{common.machine()} Peers: {'; '.join(peers)}. {self.options.seconds} s per run.",
        ]


def h2load(bench, port, seconds):
    command = ["h2load", "-t1", f"-c{CONNECTIONS}", f"-m{STREAMS}", f"-D{round(seconds)}", "-w30", "-W30"]
    command += ["-H", "content-type: application/grpc", "-H", "te: trailers", "-d", bench.message]
    output, spent = common.run_load([*command, f"http://127.0.0.1:{port}{UNARY}"])
    found = re.search(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed", output)
    if not found or int(found.group(3)):
        sys.exit(f"h2load: {output}")
    done = int(found.group(1))
    # Every answer has its message: none is a status alone.
    data = int(re.search(r"\((\d+)\) data", output).group(1))
    if data < done * len(MESSAGE) * 0.99:
        sys.exit(f"h2load: {data} bytes of {done} answers: {output}")
    mean = re.search(r"time for request:\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)", output)
    micros = float(mean.group(1)) * {"us": 1, "ms": 1e3, "s": 1e6}[mean.group(2)]
    return {"calls": done, "mean": micros, **spent}


def calls(bench, name, upstream):
    port = free_port()
    server = bench.start(name, port, upstream)
    h2load(bench, port, 1)
    usage = Usage(server)
    done = h2load(bench, port, bench.options.seconds)
    figures = {
        "throughput": done["calls"] / bench.options.seconds / 1000,
        **usage.figures(done["calls"] / 1e6),
        "mean": done["mean"],
    }
    server.stop()
    return figures


def unary(bench, name):
    return calls(bench, name, None)


def proxied(bench, name):
    port = free_port()
    upstream = Process(bench.command_ringway(port, None), OTHERS)
    upstream.wait_for_port(port)
    figures = calls(bench, name, port)
    upstream.stop()
    return figures


def streams(bench, name):
    port = free_port()
    server = bench.start(name, port, None)
    load = [bench.bins["stream-load"], f"127.0.0.1:{port}", STREAM, str(CONNECTIONS), str(STREAMS)]
    common.run_load([*load, "1"])
    usage = Usage(server)
    output, _ = common.run_load([*load, str(bench.options.seconds)])
    messages = int(output)
    figures = {
        "throughput": messages / bench.options.seconds / 1000,
        **usage.figures(messages / 1e6),
    }
    server.stop()
    return figures


COLUMNS = {"throughput": "1,000/s", "cpu": "CPU, us/call"}
WORKS = {
    "grpc-unary": {
        "title": f"Unary calls, {CONNECTIONS} connections, {STREAMS} calls of each",
        "run": unary,
        "servers": ["ringway", "tonic"],
        "columns": COLUMNS,
    },
    "grpc-streams": {
        "title": f"Bidirectional streams, {CONNECTIONS} connections, {STREAMS} streams of each",
        "run": streams,
        "servers": ["ringway", "tonic"],
        "columns": {"throughput": "1,000 messages/s", "cpu": "CPU, us/message"},
    },
    "grpc-proxy": {
        "title": f"Proxy of unary calls, {CONNECTIONS} connections, {STREAMS} calls of each",
        "run": proxied,
        "servers": http1.with_envoy("ringway", "nginx", "haproxy", "envoy"),
        "columns": COLUMNS,
    },
}


def targets(everything):
    """What is to be reached, as (text, figure, limit, reached)."""
    rows = []

    def most(text, key, peer, limit):
        if peer in everything[key]:
            rows.append(at_most(text, common.ratio(everything[key], "cpu", peer), limit))

    most("unary calls: CPU per call over tonic's", "grpc-unary", "tonic", 0.4)
    most("streams: CPU per message over tonic's", "grpc-streams", "tonic", 0.4)
    most("proxy: CPU per call over Envoy's", "grpc-proxy", "envoy", 0.4)
    return rows
