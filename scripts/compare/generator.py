"""The load generator beside others: requests that a CPU second of it sends, and its own lateness."""

import json
import sys

import common
import half_load
import http1
import http2
from figures import at_least, at_most, ratio, summary
from peers import oha, versions, with_oha

NAME, TITLE = "generator", "The load generator"
CONNECTIONS = http1.CONNECTIONS
# HTTP/2: connections, and streams of each at a time.
SHAPE = (8, 32)
# Requests a second of the open loops: about half of what the server can do.
RATES = {"late-http1": 60_000, "late-http2": 200_000}
LATENESS_MAX = 50


class Bench(http2.Bench):
    def method(self):
        missing = "" if oha() else " oha was not there to be measured."
        return (
            "Here it is the generators that are compared: each loads the same Ringway, with a fixed answer of 12 "
            "bytes, and *CPU* is the generator's own for one request, its start and end included. The server has CPU "
            f"0, and the generator CPU 1, each with one thread; HTTP/1.1 on {CONNECTIONS} connections, HTTP/2 on "
            f"{SHAPE[0]} connections with {SHAPE[1]} streams each. In the open loops *lateness* is from when a request "
            "was due, and a connection was free for it, to when it was sent; `ringway` is at equal distances, "
            f"`ringway poisson` at random ones.{missing}"
        )

    def peers(self):
        return versions("wrk", "h2load", "oha")

    def extent(self):
        return f"{self.options.seconds} s per run"


def target(port, is_http2):
    """Arguments of `ringway bench`: what is loaded, on how many connections."""
    shape = {"connections": SHAPE[0], "streams": SHAPE[1]} if is_http2 else {"connections": CONNECTIONS}
    return [f"{'h2' if is_http2 else 'http'}://127.0.0.1:{port}/", *common.flags(shape)]


def ringway(bench, port, is_http2):
    command = [bench.bins["ringway"], "bench", *target(port, is_http2), "--quiet", "--json", "-"]
    output, spent = common.run_load([*command, "--duration", f"{round(bench.options.seconds)}s"])
    return {"requests": json.loads(output)["counts"]["completed"], **spent}


def measure_oha(bench, port, is_http2):
    command = [oha(), "--no-tui", "--output-format", "json", "-z", f"{round(bench.options.seconds)}s"]
    command += ["--http2", "-c", str(SHAPE[0]), "-p", str(SHAPE[1])] if is_http2 else ["-c", str(CONNECTIONS)]
    # Its runtime takes a thread for each CPU that it may use: one.
    output, spent = common.run_load([*command, f"http://127.0.0.1:{port}/"])
    codes = json.loads(output)["statusCodeDistribution"]
    if set(codes) != {"200"}:
        sys.exit(f"oha: {output}")
    return {"requests": codes["200"], **spent}


def generate(bench, name, port, is_http2):
    if name == "ringway":
        return ringway(bench, port, is_http2)
    if name == "oha":
        return measure_oha(bench, port, is_http2)
    if is_http2:
        return http2.h2load(bench, port, "/", SHAPE)
    return http1.wrk(bench, port)


def work(is_http2):
    def run(bench, name):
        with bench.serving("ringway") as (_server, port):
            done = generate(bench, name, port, is_http2)
            return {
                "throughput": done["requests"] / done["taken"] / 1_000,
                "cpu": done["used"] / (done["requests"] / 1e6),
                "others": 100 * done["used"] / done["taken"],
            }

    return run


def late(key, is_http2):
    """An open loop of ours; a server that is not used up."""

    def run(bench, name):
        mode = "--poisson" if name.endswith("poisson") else "--rate"
        with bench.serving("ringway") as (_server, port):
            done = half_load.run(bench, target(port, is_http2), mode, RATES[key])
        cost = done["generator_cpu"] / max(done["completed"], 1) * 1e6
        shown = ("lateness", "p50", "p99", "kept", "failed", "error")
        return {"cpu": cost, **{figure: done[figure] for figure in shown}}

    return run


COLUMNS = {"throughput": "1,000/s", "cpu": "CPU, us/request", "others": "core of the generator, %"}
WORKS = {
    "generate-http1": {
        "title": f"HTTP/1.1, {CONNECTIONS} connections",
        "run": work(False),
        "servers": with_oha("ringway", "wrk", "oha"),
        "columns": COLUMNS,
    },
    "generate-http2": {
        "title": f"HTTP/2, {SHAPE[0]} connections, {SHAPE[1]} streams of each",
        "run": work(True),
        "servers": with_oha("ringway", "h2load", "oha"),
        "columns": COLUMNS,
    },
    "late-http1": {
        "title": f"Lateness at {RATES['late-http1']:,} requests a second, HTTP/1.1",
        "run": late("late-http1", False),
        "servers": ["ringway", "ringway poisson"],
        "columns": COLUMNS,
    },
    "late-http2": {
        "title": f"Lateness at {RATES['late-http2']:,} requests a second, HTTP/2",
        "run": late("late-http2", True),
        "servers": ["ringway", "ringway poisson"],
        "columns": COLUMNS,
    },
}


def targets(everything):
    """What is to be reached."""
    rows = []
    for key, peer in (("generate-http1", "wrk"), ("generate-http2", "h2load")):
        value = 1 / ratio(everything[key], "cpu", peer)
        rows.append(at_least(key, f"requests per CPU second over {peer}'s", value, 1))
        if "oha" in everything[key]:
            value = 1 / ratio(everything[key], "cpu", "oha")
            rows.append(at_least(key, "requests per CPU second over oha's", value, 2))
    for key in RATES:
        value = summary(everything[key], "ringway", "lateness")
        target = at_most(key, "lateness at p99, us", value, LATENESS_MAX)
        # At another rate it says nothing.
        is_kept = half_load.is_kept(everything[key]["ringway"])
        rows.append(target._replace(is_reached=target.is_reached and is_kept))
    return rows
