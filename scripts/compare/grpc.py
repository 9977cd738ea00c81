"""gRPC: calls and streams that are answered, and calls that are passed on."""

import contextlib
import json
import os
import re
import subprocess
import sys

import common
import http1
import http2
from common import Usage
from figures import at_most, ratio
from half_load import HalfLoad
from peers import crate_versions, envoy, versions, with_envoy

NAME, TITLE = "grpc", "gRPC"
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
        # With its frame as the body of a request, and without.
        self.message, self.message_alone = (os.path.join(self.folder, name) for name in ("framed", "message"))
        for path, content in ((self.message, MESSAGE), (self.message_alone, MESSAGE[5:])):
            with open(path, "wb") as file:
                file.write(content)

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
        missing = "" if envoy() else " Envoy was not there to be measured."
        return (
            "Messages have 100 bytes. The load of unary calls is h2load, one thread; that of streams a client of the "
            "`h2` crate, which sends the next message once the one before has come back. tonic's server has a runtime "
            "of one thread, as `benches/peers` shows; Ringway's is `benches/grpc.rs`, one worker. Behind the proxies "
            "is Ringway's server, which shares the load's core. There is no half load of streams, because "
            f"`ringway bench` counts calls and not their messages.{missing}"
        )

    def peers(self):
        return versions("haproxy", "nginx", "envoy") + crate_versions(f"{PEERS}/Cargo.lock", ["tonic"])

    def extent(self):
        return f"{self.options.seconds} s per run"


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


@contextlib.contextmanager
def proxying(bench, name):
    with bench.behind(bench.command_ringway) as (_, behind), bench.serving(name, behind) as served:
        yield served


def calls(serve):
    def run(bench, name):
        with serve(bench, name) as (server, port):
            h2load(bench, port, 1)
            usage = Usage(server)
            done = h2load(bench, port, bench.options.seconds)
            return {
                "throughput": done["calls"] / bench.options.seconds / 1000,
                **usage.figures(done["calls"] / 1e6),
                "mean": done["mean"],
            }

    return run


def half_load(serve):
    """The same calls in an open loop."""

    def arguments(bench, _name, port):
        shape = {"connections": CONNECTIONS, "streams": STREAMS, "message_file": bench.message_alone}
        return [f"grpc://127.0.0.1:{port}{UNARY}", *common.flags(shape)]

    return HalfLoad(serve, arguments)


def streams(bench, name):
    with bench.serving(name) as (server, port):
        load = [bench.bins["stream-load"], f"127.0.0.1:{port}", STREAM, str(CONNECTIONS), str(STREAMS)]
        common.run_load([*load, "1"])
        usage = Usage(server)
        output, _ = common.run_load([*load, str(bench.options.seconds)])
        messages = int(output)
        return {
            "throughput": messages / bench.options.seconds / 1000,
            **usage.figures(messages / 1e6),
        }


COLUMNS = {"throughput": "1,000/s", "cpu": "CPU, us/call"}
WORKS = {
    "grpc-unary": {
        "title": f"Unary calls, {CONNECTIONS} connections, {STREAMS} calls of each",
        "run": calls(http1.answering),
        "servers": ["ringway", "tonic"],
        "columns": COLUMNS,
        "half_load": half_load(http1.answering),
    },
    "grpc-streams": {
        "title": f"Bidirectional streams, {CONNECTIONS} connections, {STREAMS} streams of each",
        "run": streams,
        "servers": ["ringway", "tonic"],
        "columns": {"throughput": "1,000 messages/s", "cpu": "CPU, us/message"},
    },
    "grpc-proxy": {
        "title": f"Proxy of unary calls, {CONNECTIONS} connections, {STREAMS} calls of each",
        "run": calls(proxying),
        "servers": with_envoy("ringway", "nginx", "haproxy", "envoy"),
        "columns": COLUMNS,
        "half_load": half_load(proxying),
    },
}


def targets(everything):
    """What is to be reached."""
    rows = []

    def most(text, key, peer, limit):
        if peer in everything[key]:
            rows.append(at_most(key, text, ratio(everything[key], "cpu", peer), limit))

    most("unary calls: CPU per call over tonic's", "grpc-unary", "tonic", 0.4)
    most("streams: CPU per message over tonic's", "grpc-streams", "tonic", 0.4)
    most("proxy: CPU per call over Envoy's", "grpc-proxy", "envoy", 0.4)
    return rows
