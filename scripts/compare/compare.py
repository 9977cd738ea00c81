"""Ringway beside its peers: the same work, one run, CPU of the process under test as ratios.

Called by scripts/compare.sh. The process under test has CPU 0 for itself; upstream and load share
CPU 1. Each work is done by every server in turn, several rounds; medians are reported.

A scenario is a module with a name, a title, a `Bench` that starts the servers, works and targets.
A new work is a function that gives one round's figures, and an entry in the module's WORKS; with
`half_load` in its entry, its latency is measured in an open loop as well.

Results go to target/compare (results.py); the page docs/benchmarks.md is made of them (page.py).
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time

import common
import figures
import frame
import generator
import grpc
import half_load
import http1
import http2
import page
import results
import scale
import tcp
import tls
import udp
import websocket

SCENARIOS = {scenario.NAME: scenario for scenario in (tcp, frame, udp, http1, http2, grpc, websocket, tls, generator, scale)}


def parse():
    works = [work for scenario in SCENARIOS.values() for work in scenario.WORKS]
    parser = argparse.ArgumentParser(prog="scripts/compare.sh")
    parser.add_argument("what", choices=[*SCENARIOS, "all", "page"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--gigabytes", type=float, default=4.0)
    parser.add_argument("--most", type=int, help="of scale, no larger sizes; the page is not written")
    parser.add_argument("--only", choices=works, help="one work; the page is not written")
    parser.add_argument("--peers", action="store_true", help="all but Ringway; the page is not written")
    options = parser.parse_args()
    if options.only and options.what in SCENARIOS and options.only not in SCENARIOS[options.what].WORKS:
        parser.error(f"{options.only} is no work of {options.what}")
    if options.seconds < 1:
        parser.error("a run takes at least a second: some loads take whole seconds only")
    return options


def measure(bench, work):
    """All rounds of a work, the servers in turn: {server: {figure: [values]}}."""
    names = [name for name in work["servers"] if not (bench.options.peers and figures.is_ringway(name))]
    if "prepare" in work:
        print(f"  {work['title']}: preparing", file=sys.stderr, flush=True)
        work["prepare"](bench, work)
    return common.in_turn(bench, work, names, "round", lambda name: work["run"](bench, name))


def measure_all(scenario, bench):
    """The works that were asked for, as they are written to JSON; each is shown when it is done."""
    works = []
    for key, work in scenario.WORKS.items():
        if bench.options.only not in (None, key):
            continue
        found = measure(bench, work)
        # Some works are of Ringway alone.
        if not found:
            continue
        half = half_load.measure(bench, work, found) if "half_load" in work else None
        works.append(results.of_work(key, work, found, half))
        print("", *page.work_lines(works[-1]), "", sep="\n", flush=True)
    return works


def run(scenario, options, bins):
    bench = scenario.Bench(options, bins)
    started = time.monotonic()
    try:
        works = measure_all(scenario, bench)
        one = results.of_scenario(scenario, bench, works, time.monotonic() - started)
    finally:
        bench.close()
    if options.only is None and not options.peers:
        targets = scenario.targets({work["key"]: work["results"] for work in works})
        one["targets"] = [target._asdict() for target in targets]
        for target in targets:
            verdict = "reached" if target.is_reached else "missed "
            print(f"{verdict}  {target.value:5.2f}  {target.limit:12}  {target.text}")
    print(f"written: {results.write(one)}")


def main():
    options = parse()
    # Also where a shell started us with the interrupt ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("interrupted"))
    if options.what == "page":
        page.write(SCENARIOS)
        return
    bins = common.build()
    try:
        for name, scenario in SCENARIOS.items():
            # Scale takes long, and is only done when it is asked for.
            if options.what == name or options.what == "all" and scenario is not scale:
                if options.only is None or options.only in scenario.WORKS:
                    run(scenario, options, bins)
    except (subprocess.CalledProcessError, json.JSONDecodeError) as error:
        command = getattr(error, "cmd", ["a report"])
        sys.exit(f"{os.path.basename(command[0])} failed: {error}")
    finally:
        common.Process.stop_all()
    if results.is_full(options):
        page.write(SCENARIOS)


if __name__ == "__main__":
    main()
