"""Ringway beside its peers: the same work, one run, CPU of the process under test as ratios.

Called by scripts/compare.sh. The process under test has CPU 0 for itself; upstream and load share
CPU 1. Each work is done by every server in turn, several rounds; medians are reported.

A scenario is a module with a name, a page, a `Bench` that starts the servers, works and targets.
A new work is a function that gives one round's figures, and an entry in the module's WORKS.
"""

import argparse
import os
import signal
import subprocess
import sys
import time

import common
import frame
import grpc
import http1
import http2
import scale
import tcp
import tls
import udp
import websocket

SCENARIOS = {scenario.NAME: scenario for scenario in (tcp, frame, udp, http1, http2, grpc, websocket, tls, scale)}


def parse():
    works = [work for scenario in SCENARIOS.values() for work in scenario.WORKS]
    parser = argparse.ArgumentParser(prog="scripts/compare.sh")
    parser.add_argument("what", choices=[*SCENARIOS, "all"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--gigabytes", type=float, default=4.0)
    parser.add_argument(
        "--most", type=int, help="of scale, no larger sizes; nothing is written"
    )
    parser.add_argument("--only", choices=works, help="one work; nothing is written")
    parser.add_argument(
        "--peers", action="store_true", help="all but Ringway; nothing is written"
    )
    options = parser.parse_args()
    if options.only and options.what != "all" and options.only not in SCENARIOS[options.what].WORKS:
        parser.error(f"{options.only} is no work of {options.what}")
    return options


def run(scenario, options, bins):
    bench = scenario.Bench(options, bins)
    started = time.monotonic()
    try:
        everything = {}
        for key, work in scenario.WORKS.items():
            if options.only in (None, key):
                everything[key] = common.measure(bench, work)
                print(f"\n{work['title']}", work.get("found", ""), sep="\n")
                print(f"{common.table(work, everything[key])}\n", flush=True)
        if options.only is None and not options.peers:
            if options.most is None:
                common.write_page(scenario, bench, everything, time.monotonic() - started)
            for text, value, limit, reached in scenario.targets(everything):
                print(f"{'reached' if reached else 'missed '}  {value:5.2f}  {limit:12}  {text}")
    finally:
        bench.close()


def main():
    options = parse()
    # Also where a shell started us with the interrupt ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("interrupted"))
    bins = common.build()
    try:
        for name, scenario in SCENARIOS.items():
            # Scale takes long, and is only done when it is asked for.
            if options.what == name or options.what == "all" and scenario is not scale:
                run(scenario, options, bins)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{os.path.basename(error.cmd[0])} failed: {error}")
    finally:
        common.Process.stop_all()


if __name__ == "__main__":
    main()
