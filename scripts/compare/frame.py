"""Frames: pipelined ECHO requests, beside Redis' PING and a loop that only moves the bytes."""

import contextlib
import csv

import common
from common import Usage, run_load
from figures import at_most, ratio
from half_load import HalfLoad
from peers import versions

NAME, TITLE = "frame", "Frames"
CONNECTIONS, WINDOW, PAYLOAD = 16, 64, 64
WARM_UP = 0.3
REDIS_WARM_UP = 300_000
# Servers that `ringway bench` cannot load with frames, and why.
NO_HALF_LOAD = {
    "redis": "`ringway bench` does not speak its protocol",
    "redis echo": "likewise",
    "floor": "it does not answer the HELLO with which `ringway bench` begins",
}


class Bench(common.Bench):
    def command_ringway(self, port, upstream):
        # With an upstream it is a proxy of frames.
        return self.ringway(port, 'protocol = "frame"\nwindow = 256', upstream)

    command_ringway_proxy = command_ringway

    def command_floor(self, port, _upstream):
        return [self.bins["floor"], "echo", f"127.0.0.1:{port}"]

    def command_redis(self, port, _upstream):
        options = {
            "bind": "127.0.0.1",
            "port": port,
            "save": "",
            "appendonly": "no",
            "io-threads": 1,
            "daemonize": "no",
            "dir": self.folder,
        }
        return ["redis-server", *common.flags(options)]

    command_redis_echo = command_redis

    def method(self):
        return (
            f"{CONNECTIONS} connections have {WINDOW} requests on the way each. Ringway answers ECHO frames with "
            f"{PAYLOAD} bytes of payload ({PAYLOAD + 8} with header and checksum), and the load compares every byte of "
            "every answer. Redis answers PING as a multibulk, which is 14 bytes, with 7; its load is redis-benchmark. "
            f"`redis echo` is its ECHO of {PAYLOAD} bytes. As redis-benchmark does, a connection of the first table "
            "asks again when the last answer of its window is there; in the second each answer is followed by a new "
            "question. `floor` is a bare io_uring loop (`benches/floor/`) that sends the same bytes back without "
            "looking at them. `ringway proxy` relays to a second Ringway, which shares the load's core."
        )

    def peers(self):
        return versions("redis-server")

    def extent(self):
        return f"{self.options.seconds} s per run"


def redis(bench, port, requests, words):
    """Runs redis-benchmark; what it reports, named as our own load does."""
    options = ["-h", "127.0.0.1", "-p", port, "-c", CONNECTIONS, "-P", WINDOW, "-n", requests]
    command = ["redis-benchmark", *map(str, options), "--csv", *words]
    output, spent = run_load(command)
    # CONFIG GET may be refused, which it says on a line of its own.
    lines = [line for line in output.splitlines() if line.startswith('"')]
    report = next(csv.DictReader(lines))
    return {
        "requests": requests,
        "rps": float(report["rps"]),
        "p50_us": 1000 * float(report["p50_latency_ms"]),
        "p99_us": 1000 * float(report["p99_latency_ms"]),
        "errors": 0,
        **spent,
    }


def ask(bench, name, port, seconds, switches):
    """A warm-up, then whom to ask for a run."""
    if not name.startswith("redis"):
        shape = {"connections": CONNECTIONS, "window": WINDOW, "payload": PAYLOAD}
        bench.load("frame", port, *switches, **shape, seconds=WARM_UP)
        return lambda: bench.load("frame", port, *switches, **shape, seconds=seconds)
    words = ["ECHO", "e" * PAYLOAD] if name == "redis echo" else ["-t", "ping_mbulk"]
    rate = redis(bench, port, REDIS_WARM_UP, words)["rps"]
    # It takes a number of requests; a multiple of what it sends in a row.
    step = CONNECTIONS * WINDOW
    requests = max(1, round(rate * seconds / step)) * step
    return lambda: redis(bench, port, requests, words)


@contextlib.contextmanager
def serving(bench, name):
    """A server and its port; behind a proxy a second Ringway."""
    if name != "ringway proxy":
        with bench.serving(name) as served:
            yield served
        return
    with bench.behind(bench.command_ringway) as (upstream, behind), bench.serving(name, behind) as (server, port):
        server.upstream = upstream
        yield server, port


def measure(bench, name, switches):
    with serving(bench, name) as (server, port):
        run = ask(bench, name, port, bench.options.seconds, switches)
        usage = Usage(server)
        behind = Usage(server.upstream) if server.upstream else None
        done = run()
        if done["errors"]:
            server.complain(f"{done['errors']} connections failed")
        return {
            "throughput": done["rps"] / 1e6,
            **usage.cores(done, behind),
            **usage.figures(done["requests"] / 1e6),
            "p50": done["p50_us"],
            "p99": done["p99_us"],
        }


def arguments(_bench, _name, port):
    """The same requests for `ringway bench`; its payload is what `--size` says."""
    shape = {"connections": CONNECTIONS, "streams": WINDOW, "size": PAYLOAD}
    return [f"frame://127.0.0.1:{port}", *common.flags(shape)]


def whole(bench, name):
    return measure(bench, name, ["--whole"])


def sliding(bench, name):
    return measure(bench, name, [])


WORKS = {
    "frame": {
        "title": f"Whole windows: {CONNECTIONS} connections, {WINDOW} requests at a time",
        "run": whole,
        "servers": ["ringway", "redis", "redis echo", "floor", "ringway proxy"],
        "columns": {"throughput": "million/s", "cpu": "CPU, us/request"},
        "half_load": HalfLoad(serving, arguments, unit=1e6, without=NO_HALF_LOAD),
    },
    "frame-sliding": {
        "title": f"Sliding windows: {CONNECTIONS} connections, {WINDOW} requests on the way",
        "run": sliding,
        "servers": ["ringway", "floor", "ringway proxy"],
        "columns": {"throughput": "million/s", "cpu": "CPU, us/request"},
    },
}


def targets(everything):
    """What is to be reached."""
    results = everything["frame"]
    return [
        at_most("frame", "CPU per request over Redis' PING", ratio(results, "cpu", "redis"), 0.5),
        at_most("frame", "CPU per request over a bare loop's", ratio(results, "cpu", "floor"), 1.2),
    ]
