"""Latency at half load: an open loop at half of what the slowest server of a work can do."""

import json
import statistics
from typing import Callable, NamedTuple

import common
from figures import QUANTILES, summary

WARM_UP = "300ms"
# The share of due requests that have to be sent and answered, as `ringway bench` has it.
KEPT_MIN = 0.99
# `ringway bench` exits with 1 when a rate was not kept or requests failed, and reports all the same.
STATUSES = (0, 1)

METHOD = """\
**Latency at half load** is measured after the closed loops, by `ringway bench` as an open loop. Its rate is half of the
throughput of the slowest server of the table that takes part (the median of its rounds), and the same for all servers.
Servers are measured in turn, with as many rounds, connections and streams. Requests arrive at random times, independent
of each other (`--poisson`), as requests of many clients do; at equal distances two would hardly ever meet, and no queue
would form. The seed is fixed, so that all servers get the same arrivals. Latency counts from the time at which a
request was due: it includes the wait for a free connection and the generator's own lateness. The lateness is given
below each table; so is a rate that was not kept. The generator is pinned to the load's CPU, which it shares with the
upstream of a proxy. Above some 25,000 requests a second it polls continuously, and an upstream may have to wait for it.
"""


class HalfLoad(NamedTuple):
    """How a work is done as an open loop.

    `serve(bench, name)` is a context manager that gives a running server and its port;
    `arguments(bench, name, port)` are URL and options for `ringway bench`.
    """

    serve: Callable
    arguments: Callable
    # Requests in one unit of the work's throughput.
    unit: float = 1_000
    # Servers that cannot be loaded in this way, and why.
    without: dict = {}
    # Gives the capacity in requests a second, where it is not the throughput of the closed loop.
    capacity: Callable | None = None

    def rate(self, work, results):
        if self.capacity:
            return round(self.capacity(work) / 2)
        names = [name for name in results if name not in self.without]
        return round(min(summary(results, name, "throughput") for name in names) * self.unit / 2)


def measure(bench, work, results):
    """All rounds at half load, the servers in turn."""
    half = work["half_load"]
    rate = half.rate(work, results)
    names = [name for name in results if name not in half.without]

    def one(name):
        with half.serve(bench, name) as (server, port):
            done = run(bench, half.arguments(bench, name, port), "--poisson", rate)
            if not done["completed"]:
                server.complain(f"answers nothing at half load: {done['error']}")
        return done

    found = common.in_turn(bench, work, names, "half load, round", one)
    return {"rate": rate, "arrivals": "poisson", "results": found, "without": half.without}


def run(bench, arguments, mode, rate):
    """Runs `ringway bench` as an open loop, and takes from its report what is needed."""
    command = [bench.bins["ringway"], "bench", *arguments, mode, str(rate), "--quiet", "--json", "-"]
    command += ["--duration", f"{round(bench.options.seconds * 1000)}ms", "--warm-up", WARM_UP]
    output, _spent = common.run_load(command, STATUSES)
    report = json.loads(output)
    counts, latency = report["counts"], report["latency"]
    return {
        **{quantile: latency["total"][quantile] for quantile in QUANTILES},
        "lateness": latency["lateness"]["p99"],
        "kept": min(counts["sent"], counts["completed"]) / max(counts["due"], 1),
        "completed": counts["completed"],
        "generator_cpu": report["generator_cpu"],
        "failed": sum(error["count"] for error in report["errors"]),
        "error": report["errors"][0]["kind"] if report["errors"] else "",
    }


def notes(work):
    """What has to be known to read the latencies of an open loop: rate, lateness, what went wrong."""
    if half := work.get("half_load"):
        yield f"Half load: {half['rate']:,} requests a second."
        yield from open_loop_notes(half["results"])
        for name, why in half["without"].items():
            yield f"Not at half load: {name} ({why})."
    elif all("lateness" in found for found in work["results"].values()):
        yield from open_loop_notes(work["results"])


def open_loop_notes(results):
    lateness = (f"{name} {statistics.median(results[name]['lateness']):.0f}" for name in results)
    yield f"Lateness of the generator at p99, us: {', '.join(lateness)}."
    for name, found in results.items():
        yield from troubles(name, found)


def is_kept(found):
    """Whether a server was asked, and answered, at the rate in all rounds."""
    return min(found["kept"]) >= KEPT_MIN


def troubles(name, found):
    """What went wrong with a server in any round."""
    if not is_kept(found):
        yield f"**Rate not kept** with {name}: {100 * min(found['kept']):.1f} % in the worst round."
    if failed := sum(found["failed"]):
        kinds = ", ".join(sorted({kind for kind in found["error"] if kind}))
        yield f"**{failed} requests failed** with {name} ({kinds})."
