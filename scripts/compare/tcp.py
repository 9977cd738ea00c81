"""TCP: proxies and echo servers."""

import contextlib
import json
import resource
import subprocess
import sys
import time

import common
import half_load
from common import OTHERS, SPARE, Process, Usage, running
from figures import Target, at_most, ratio, summary
from half_load import HalfLoad
from peers import nginx_stream, program, versions

NAME, TITLE = "tcp", "TCP"
SIZE, ANSWER, CONNECTIONS = 100, 200, 64
IDLE = 10_000
# The noisy neighbour: flows of bulk, and small requests a second on so many connections.
FLOWS, SMALL_RATE, SMALL_CONNECTIONS = 48, 500, 64


class Bench(common.Bench):
    def __init__(self, options, bins):
        super().__init__(options, bins)
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.connections_max = min(20_000, (soft - SPARE) // 2)
        # Ringway keeps an eighth of its descriptors for files and connects.
        self.idle = min(IDLE, (soft * 7 // 8 - SPARE) // 2)
        if self.idle < IDLE:
            print(f"only {self.idle} idle connections: {soft} open files allowed", file=sys.stderr)
        # A second listener of a proxy and its upstream, as ports, where a work has two.
        self.second = None

    def proxied(self, port, upstream):
        """All pairs of a port and its upstream that a proxy serves."""
        return [(port, upstream), self.second] if self.second else [(port, upstream)]

    def command_ringway(self, port, upstream):
        protocol = "echo" if upstream is None else "tcp"
        listener = f'max_connections = 20000\nprotocol = "{protocol}"'
        more = ""
        if self.second:
            own, behind = self.second
            more = f"""
[[listener]]
name = "second"
listen = "127.0.0.1:{own}"
{listener}
upstream = "second"
[upstream.second]
servers = ["127.0.0.1:{behind}"]
"""
        return self.ringway(port, listener, upstream, more)

    def command_haproxy(self, port, upstream):
        text = f"""
global
    nbthread 1
    maxconn {self.connections_max}
    maxpipes 100
defaults
    mode tcp
    timeout connect 5s
    timeout client 10m
    timeout server 10m
    option splice-auto
"""
        for own, behind in self.proxied(port, upstream):
            text += f"""
listen t{own}
    bind 127.0.0.1:{own}
    maxconn {self.connections_max}
    server s 127.0.0.1:{behind}
"""
        return [program("haproxy"), "-db", "-f", self.write(f"{port}.cfg", text)]

    def command_nginx(self, port, upstream):
        servers = "".join(
            f"""
    server {{
        listen 127.0.0.1:{own} backlog=4096;
        proxy_pass 127.0.0.1:{behind};
        proxy_half_close on;
        tcp_nodelay on;
    }}"""
            for own, behind in self.proxied(port, upstream)
        )
        text = f"""
{nginx_stream()}
daemon off;
worker_processes 1;
worker_rlimit_nofile {2 * self.connections_max + SPARE};
pid {self.folder}/{port}.pid;
error_log {self.folder}/{port}.log;
events {{ worker_connections 30000; }}
stream {{{servers}
}}
"""
        return [program("nginx"), "-c", self.write(f"{port}.conf", text)]

    def command_floor(self, port, upstream):
        if upstream is None:
            return [self.bins["floor"], "echo", f"127.0.0.1:{port}"]
        return [self.bins["floor"], "relay", f"127.0.0.1:{port}", f"127.0.0.1:{upstream}"]

    def command_floor_splice(self, port, upstream):
        return [self.bins["floor"], "splice", f"127.0.0.1:{port}", f"127.0.0.1:{upstream}"]

    def command_tokio(self, port, _upstream):
        return [self.bins["baseline"], "tokio-echo", f"127.0.0.1:{port}"]

    def command_tokio_uring(self, port, _upstream):
        return [self.bins["baseline"], "tokio-uring-echo", f"127.0.0.1:{port}"]

    def method(self):
        return (
            "Bulk ends when the upstream has read all and closed; its count is checked. Idle memory is what is "
            "resident more than before the connections: what a server sets aside at its start is not in it, nor is "
            "the kernel's share. `floor` is a bare io_uring loop, `floor splice` a bare splice loop "
            "(`benches/floor/`); `tokio` and `tokio-uring` are echo servers as one writes them "
            f"(`benches/baseline.rs`). In the work with a noisy neighbour, {FLOWS} connections send bulk through one "
            f"listener of the proxy, while `ringway bench` sends {SMALL_RATE} small requests a second (at equal "
            f"distances, {SMALL_CONNECTIONS} connections) through a second listener of the same worker. Senders and "
            "receivers of bulk run as SCHED_IDLE, so that generator and upstream of the small requests need not wait "
            "for them on the CPU that they share. Throughput and CPU are those of bulk; p50, p99 and p99.9 are those "
            "of the small requests."
        )

    def peers(self):
        return versions("haproxy", "nginx")

    def extent(self):
        few = "" if self.idle == IDLE else " (the limit of open files allows no more)"
        return (
            f"{self.options.gigabytes} GB per bulk run, {self.options.seconds} s per run of "
            f"requests, {self.idle} idle connections{few}"
        )


@contextlib.contextmanager
def echoing(bench, name):
    with bench.serving(name) as served:
        yield served


@contextlib.contextmanager
def proxying(bench, name):
    """A proxy to a server that answers each small request."""
    answers, upstream = bench.upstream("answer", size=SIZE, answer_size=ANSWER)
    with running(answers), bench.serving(name, upstream) as served:
        yield served


def small_requests(answer_size):
    """Arguments of `ringway bench` for the same requests in an open loop."""

    def arguments(_bench, _name, port, connections=CONNECTIONS):
        shape = {"connections": connections, "size": SIZE, "answer_size": answer_size}
        return [f"tcp://127.0.0.1:{port}", *common.flags(shape)]

    return arguments


# Each work: one round on one server gives a dictionary of figures.


def bulk(bench, name):
    sink, upstream = bench.upstream("sink")
    with running(sink), bench.serving(name, upstream) as (server, port):
        usage = Usage(server)
        done = bench.load("bulk", port, gigabytes=bench.options.gigabytes)
        figures = {"throughput": done["gb_per_s"], **usage.figures(done["gigabytes"])}
        # The sink also tells of the connections that only asked whether somebody listens.
        while json.loads(sink.child.stdout.readline() or '{"bytes": -1}')["bytes"] != done["bytes"]:
            if sink.child.poll() is not None:
                sink.complain("ended before it had all")
    return figures


def closed_loop(serve, answer_size):
    shape = {"connections": CONNECTIONS, "size": SIZE, "answer_size": answer_size}

    def run(bench, name):
        with serve(bench, name) as (server, port):
            bench.load("pingpong", port, **shape, seconds=0.3)
            usage = Usage(server)
            done = bench.load("pingpong", port, **shape, seconds=bench.options.seconds)
            if done["errors"]:
                server.complain(f"{done['errors']} connections failed")
            return {
                "throughput": done["rps"] / 1000,
                **usage.figures(done["requests"] / 1e6),
                "p50": done["p50_us"],
                "p99": done["p99_us"],
            }

    return run


class BulkFlows:
    """Connections that send as fast as they can, until they are stopped; tells how much they have sent."""

    def __init__(self, port):
        command = [sys.executable, "-B", "scripts/compare/bulk_sender.py", f"127.0.0.1:{port}", str(FLOWS)]
        self.process = Process(command, OTHERS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, is_idle=True)

    def sent(self):
        """Bytes so far."""
        self.process.child.stdin.write("\n")
        self.process.child.stdin.flush()
        line = self.process.child.stdout.readline()
        if not line:
            self.process.complain("a flow of bulk was closed")
        return int(line)


@contextlib.contextmanager
def proxying_two(bench, name):
    """A proxy with a listener for bulk and one for small requests, and what is behind both."""
    sink, bulk_upstream = bench.upstream("sink", is_idle=True)
    answers, upstream = bench.upstream("answer", size=SIZE, answer_size=ANSWER)
    with running(sink), running(answers):
        bench.second = (common.free_port(), upstream)
        try:
            with bench.serving(name, bulk_upstream) as (server, port):
                server.wait_for_port(bench.second[0])
                yield server, port, bench.second[0]
        finally:
            bench.second = None


def noisy(bench, name):
    """Small requests at a fixed rate through a worker that relays many flows of bulk."""
    with proxying_two(bench, name) as (server, bulk_port, small_port):
        flows = BulkFlows(bulk_port)
        with running(flows.process):
            arguments = small_requests(ANSWER)(bench, name, small_port, SMALL_CONNECTIONS)
            # Windows of TCP grow meanwhile.
            time.sleep(0.5)
            usage, before, started = Usage(server), flows.sent(), time.monotonic()
            done = half_load.run(bench, arguments, "--rate", SMALL_RATE)
            gigabytes = (flows.sent() - before) / 1e9
            seconds = time.monotonic() - started
            if not done["completed"]:
                server.complain(f"answers no small requests: {done['error']}")
            return {"throughput": gigabytes / seconds, **usage.figures(gigabytes), **done}


def idle(bench, name):
    hold, upstream = bench.upstream("hold")
    port = common.free_port()
    server = bench.start(name, port, upstream)
    before = server.memory_kib("VmRSS:")
    target = ["--target", f"127.0.0.1:{port}", "--connections", str(bench.idle)]
    command = [bench.bins["load"], "idle", *target]
    load = Process(command, OTHERS, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    if load.child.stdout.readline() != "ready\n":
        load.complain(f"not all connections to {name} were made")
    # A connection counts when it has reached the upstream.
    deadline = time.monotonic() + 20
    while hold.descriptors() < bench.idle:
        if time.monotonic() > deadline:
            server.complain(f"relays fewer than {bench.idle} connections")
        time.sleep(0.1)
    time.sleep(0.5)
    after = server.memory_kib("VmRSS:")
    figures = {"memory": (after - before) / bench.idle, "resident": after / 1024}
    for process in (load, server, hold):
        process.stop()
    return figures


WORKS = {
    "bulk": {
        "title": "TCP proxy, bulk through one connection",
        "run": bulk,
        "servers": ["ringway", "ringway epoll", "haproxy", "nginx", "floor splice"],
        "columns": {"throughput": "GB/s", "cpu": "CPU, s/GB"},
    },
    "requests": {
        "title": f"TCP proxy, {CONNECTIONS} connections of small requests "
        f"({SIZE} bytes asked, {ANSWER} answered)",
        "run": closed_loop(proxying, ANSWER),
        "servers": ["ringway", "ringway epoll", "haproxy", "nginx", "floor"],
        "columns": {"throughput": "1,000/s", "cpu": "CPU, us/request"},
        "half_load": HalfLoad(proxying, small_requests(ANSWER)),
    },
    "noisy": {
        "title": f"Noisy neighbour: {SMALL_RATE} small requests a second beside {FLOWS} flows of bulk",
        "run": noisy,
        "servers": ["ringway", "haproxy", "nginx"],
        "columns": {"throughput": "GB/s of bulk", "cpu": "CPU, s/GB"},
    },
    "echo": {
        "title": f"Echo, {CONNECTIONS} connections, {SIZE} bytes",
        "run": closed_loop(echoing, SIZE),
        "servers": ["ringway", "ringway epoll", "floor", "tokio", "tokio-uring"],
        "columns": {"throughput": "1,000/s", "cpu": "CPU, us/request"},
        "half_load": HalfLoad(echoing, small_requests(SIZE)),
    },
    "idle": {
        "title": "Idle proxied connections",
        "run": idle,
        "servers": ["ringway", "haproxy", "nginx"],
        "columns": {},
        "runs": 1,
    },
}


def targets(everything):
    """What is to be reached."""

    def cpu(work, text, over, limit, of="ringway"):
        return at_most(work, f"{work}: {text}", ratio(everything[work], "cpu", over, of), limit)

    rows = [
        cpu("bulk", "CPU per GB over HAProxy's", "haproxy", 0.5),
        cpu("bulk", "CPU per GB over a bare splice loop's", "floor splice", 1.2),
    ]
    for peer in ("haproxy", "nginx"):
        value = 1 / ratio(everything["bulk"], "throughput", peer)
        rows.append(Target("bulk", f"bulk: throughput of {peer} over ours", value, "below 1", value < 1))
    memory = summary(everything["idle"], "ringway", "memory")
    p50 = summary(everything["noisy"], "ringway", "p50") / 1000
    return [
        *rows,
        cpu("requests", "CPU per request over HAProxy's", "haproxy", 1.0),
        cpu("requests", "CPU per request over nginx's", "nginx", 0.75),
        cpu("requests", "without io_uring, CPU per request over HAProxy's", "haproxy", 1.1, "ringway epoll"),
        at_most("noisy", "noisy neighbour: p50 of small requests, ms", p50, 0.8),
        at_most("noisy", "noisy neighbour: p50 over HAProxy's", ratio(everything["noisy"], "p50", "haproxy"), 1.0),
        cpu("echo", "CPU per request over a bare loop's", "floor", 1.1),
        at_most("idle", "idle: KiB per proxied connection", memory, 2),
    ]
