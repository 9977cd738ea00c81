"""UDP: a proxy and an echo at a fixed rate, which nobody may lose datagrams at."""

import contextlib
import socket
import sys
import time

import common
from common import OTHERS, SPARE, Process, Usage, free_port
from figures import at_most, ratio, summary
from half_load import HalfLoad
from peers import nginx_stream, program, versions

NAME, TITLE = "udp", "UDP"
FLOWS, BURST = 16, 16
# With offloads a burst is about what one message holds: it is bulk that they are for.
OFFLOAD_BURST = 48
WARM_UP = 0.3
# The search for a rate: from here in such steps, each so long, as long as nothing is lost. What
# fails is tried again: a stall of the machine is no limit of the server.
FIRST, STEP, LAST, LONG, TRIES = 20_000, 1.3, 3_000_000, 0.5, 3
# The share of the rate that was found at which all are measured.
SHARE = 0.7
# At half load, a datagram that does not come back within this is lost.
TIMEOUT = "1s"


class Bench(common.Bench):
    def command_ringway(self, port, upstream):
        protocol = "udp_echo" if upstream is None else "udp"
        return self.ringway(port, f'protocol = "{protocol}"', upstream)

    def command_nginx(self, port, upstream):
        # Without proxy_responses a session takes any number of answers. One worker has no use of
        # reuseport; multi_accept lets it read more than one datagram after a wait, and its queue
        # is as long as that of the others, where the system allows it.
        text = f"""
{nginx_stream()}
daemon off;
worker_processes 1;
pid {self.folder}/{port}.pid;
error_log {self.folder}/{port}.log;
events {{ worker_connections {SPARE + 4 * FLOWS}; multi_accept on; }}
stream {{
    server {{
        listen 127.0.0.1:{port} udp rcvbuf=4m sndbuf=4m;
        proxy_pass 127.0.0.1:{upstream};
        proxy_timeout 60s;
    }}
}}
"""
        return [program("nginx"), "-c", self.write(f"{port}.conf", text)]

    def command_floor(self, port, upstream):
        if upstream is None:
            return [self.bins["floor"], "udp-echo", f"127.0.0.1:{port}"]
        return [self.bins["floor"], "udp-relay", f"127.0.0.1:{port}", f"127.0.0.1:{upstream}"]

    def command_floor_gso(self, port, upstream):
        return [*self.command_floor(port, upstream), "--gso"]

    def await_ready(self, process, port):
        with socket.socket(type=socket.SOCK_DGRAM) as probe:
            probe.settimeout(0.05)
            process.wait_until(lambda: answers(probe, port))

    def method(self):
        return (
            "The load sends at a fixed rate, "
            f"whatever comes back: {FLOWS} flows, each burst of {BURST} datagrams (with offloads "
            f"{OFFLOAD_BURST}, about what one message holds) to another of them. CPU is per "
            "datagram that went there and came back. The rate is "
            f"{SHARE:.0%} of the highest at which nginx (where there is none: the floor) lost "
            "nothing in a short search before, and the same for all. Times are from when a burst "
            "was due. Sockets of load and echo have queues of 4 MiB, the listening one of nginx "
            "too; it cannot set those to its upstream. nginx has `multi_accept on` (a tenth less "
            "CPU here), no limit of answers, and keeps its sessions; `reuseport` is of no use to "
            "one worker. Offloads: the load sends with UDP_SEGMENT and takes with UDP_GRO, and so "
            "does the upstream; nginx 1.22 knows neither, so it gets the same datagrams singly. "
            "`floor` is a loop of `recvmmsg` and `sendmmsg`, as a proxy with one socket per flow "
            "(`benches/floor/udp.rs`), `floor gso` the same with both offloads. Half load is half of the highest "
            "rate that the search found; `ringway bench` sends datagrams singly, so that works with offloads are "
            f"without it. What does not come back within {TIMEOUT} counts as failed, and with that time as latency."
        )

    def peers(self):
        return versions("nginx")

    def extent(self):
        return f"{self.options.seconds} s per run"


def answers(probe, port):
    try:
        probe.sendto(b"is anybody there", ("127.0.0.1", port))
        return bool(probe.recv(100))
    except OSError as error:
        if not isinstance(error, TimeoutError):
            time.sleep(0.02)
        return False


class Setting:
    """A server under test, and the echo behind it where it is a proxy."""

    def __init__(self, bench, work, name):
        self.bench, self.work = bench, work
        self.behind, upstream = None, None
        if work["proxy"]:
            upstream = free_port()
            kind = "floor gso" if work["gso"] else "floor"
            self.behind = Process(bench.command(kind, upstream, None), OTHERS)
            bench.await_ready(self.behind, upstream)
        self.port = free_port()
        self.server = bench.start(name, self.port, upstream)

    def load(self, rate, seconds):
        switches = ["--gso"] if self.work["gso"] else []
        burst = OFFLOAD_BURST if self.work["gso"] else BURST
        shape = {"flows": FLOWS, "burst": burst, "size": self.work["size"], "rate": rate}
        done = self.bench.load("udp", self.port, *switches, **shape, seconds=seconds)
        if done["wrong"]:
            self.server.complain(f"{done['wrong']} datagrams came back wrong")
        return done

    def stop(self):
        self.server.stop()
        if self.behind:
            self.behind.stop()


def search(bench, work):
    """Finds the rate at which all are measured."""
    name = work["servers"][1]
    setting = Setting(bench, work, name)
    setting.load(FIRST, WARM_UP)
    best, rate = None, FIRST

    def is_lossless():
        done = setting.load(rate, LONG)
        return done["lost"] == done["refused"] == 0 and done["rate"] > 0.97 * rate

    while rate < LAST and any(is_lossless() for _ in range(TRIES)):
        best, rate = rate, round(rate * STEP, -2)
    setting.stop()
    if best is None:
        sys.exit(f"{name} loses datagrams at {FIRST} a second")
    work["best"], work["rate"] = best, round(SHARE * best, -3)
    work["found"] = (
        f"At {work['rate'] / 1000:.0f} thousand a second; {name} lost nothing at "
        f"{best / 1000:.0f} thousand."
    )


def measure(bench, name, work):
    setting = Setting(bench, work, name)
    setting.load(work["rate"], WARM_UP)
    usage = Usage(setting.server)
    behind = Usage(setting.behind) if setting.behind else None
    done = setting.load(work["rate"], bench.options.seconds)
    if not done["received"]:
        setting.server.complain("nothing came back")
    figures = {
        "throughput": done["received"] / done["seconds"] / 1000,
        **usage.cores(done, behind),
        **usage.figures(done["received"] / 1e6),
        "lost": done["lost"] + done["refused"],
        "p50": done["p50_us"],
        "p99": done["p99_us"],
    }
    setting.stop()
    return figures


def entry(size, proxy, gso):
    floor = "floor gso" if gso else "floor"
    work = {
        "title": f"{'Proxy' if proxy else 'Echo'}, {size} bytes{', offloads' if gso else ''}",
        "size": size,
        "proxy": proxy,
        "gso": gso,
        "prepare": search,
        # The second is the one whose highest rate counts.
        "servers": ["ringway", *(["nginx"] if proxy else []), floor, "ringway epoll"],
        "columns": {"throughput": "1,000/s back", "cpu": "CPU, us/datagram"},
    }
    work["run"] = lambda bench, name: measure(bench, name, work)
    if not gso:
        work["half_load"] = half_load_of(work)
    return work


def half_load_of(work):
    @contextlib.contextmanager
    def serve(bench, name):
        setting = Setting(bench, work, name)
        try:
            yield setting.server, setting.port
        finally:
            setting.stop()

    def arguments(_bench, _name, port):
        shape = {"connections": FLOWS, "streams": BURST, "size": work["size"], "timeout": TIMEOUT}
        return [f"udp://127.0.0.1:{port}", *common.flags(shape)]

    return HalfLoad(serve, arguments, capacity=lambda work: work["best"])


WORKS = {
    f"udp-{'proxy' if proxy else 'echo'}-{size}{'-gso' if gso else ''}": entry(size, proxy, gso)
    for proxy, size, gso in [
        (True, 64, False),
        (True, 1200, False),
        (True, 64, True),
        (True, 1200, True),
        (False, 64, False),
        (False, 1200, False),
        (False, 1200, True),
    ]
}


def targets(everything):
    """What is to be reached."""
    rows, lost = [], 0
    for key, results in everything.items():
        work = WORKS[key]
        if not work["proxy"]:
            continue
        value = ratio(results, "cpu", "nginx")
        limit = 0.35 if work["gso"] else 0.65
        rows.append(at_most(key, f"{work['title']}: CPU per datagram over nginx's", value, limit))
        if summary(results, "nginx", "lost") == 0:
            lost += summary(results, "ringway", "lost")
    rows.append(at_most(None, "proxy: datagrams lost where nginx lost none", lost, 0))
    return rows
