"""TCP: proxies and echo servers."""

import json
import resource
import subprocess
import sys
import time

import common
from common import OTHERS, SPARE, Process, Usage, at_most, free_port, ratio, summary, version

NAME, TITLE, PAGE = "tcp", "Benchmarks", "docs/benchmarks.md"
SIZE, ANSWER, CONNECTIONS = 100, 200, 64
IDLE = 10_000


class Bench(common.Bench):
    def __init__(self, options, bins):
        super().__init__(options, bins)
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.connections_max = min(20_000, (soft - SPARE) // 2)
        self.idle = min(IDLE, self.connections_max)
        if self.idle < IDLE:
            print(f"only {self.idle} idle connections: {soft} open files allowed", file=sys.stderr)

    def command_ringway(self, port, upstream):
        protocol = "echo" if upstream is None else "tcp"
        listener = f'max_connections = 20000\nprotocol = "{protocol}"'
        return self.ringway(port, listener, upstream)

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
listen t
    bind 127.0.0.1:{port}
    maxconn {self.connections_max}
    server s 127.0.0.1:{upstream}
"""
        return ["haproxy", "-db", "-f", self.write(f"{port}.cfg", text)]

    def command_nginx(self, port, upstream):
        text = f"""
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes 1;
worker_rlimit_nofile {2 * self.connections_max + SPARE};
pid {self.folder}/{port}.pid;
error_log {self.folder}/{port}.log;
events {{ worker_connections 30000; }}
stream {{
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        proxy_pass 127.0.0.1:{upstream};
        proxy_half_close on;
        tcp_nodelay on;
    }}
}}
"""
        return ["nginx", "-c", self.write(f"{port}.conf", text)]

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
        rounds = f"{self.options.runs} rounds (idle: one)"
        few = "" if self.idle == IDLE else " (the limit of open files allows no more)"
        return [
            f"{common.method(rounds)} Bulk ends when the "
            "upstream has read all and closed; its count is checked. Idle memory is what is "
            "resident more than before the connections: what a server sets aside at its start is "
            "not in it, nor is the kernel's share. `floor` is a bare io_uring loop, `floor splice` "
            "a bare splice loop (`benches/floor/`); `tokio` and `tokio-uring` are echo servers as "
            "one writes them (`benches/baseline.rs`).",
            "",
            f"{common.machine()} Peers: {version(['haproxy', '-v'])}; {version(['nginx', '-v'])}. "
            f"{self.options.gigabytes} GB per bulk run, {self.options.seconds} s per run of "
            f"requests, {self.idle} idle connections{few}.",
        ]


# Each work: one round on one server gives a dictionary of figures.


def bulk(bench, name):
    sink, upstream = bench.upstream("sink")
    port = free_port()
    server = bench.start(name, port, upstream)
    usage = Usage(server)
    done = bench.load("bulk", port, gigabytes=bench.options.gigabytes)
    figures = {"throughput": done["gb_per_s"], **usage.figures(done["gigabytes"])}
    # The sink also tells of the connections that only asked whether somebody listens.
    while json.loads(sink.child.stdout.readline() or '{"bytes": -1}')["bytes"] != done["bytes"]:
        if sink.child.poll() is not None:
            sink.complain("ended before it had all")
    server.stop()
    sink.stop()
    return figures


def pingpong(bench, name, upstream):
    port = free_port()
    server = bench.start(name, port, upstream)
    shape = {
        "connections": CONNECTIONS,
        "size": SIZE,
        "answer_size": SIZE if upstream is None else ANSWER,
    }
    bench.load("pingpong", port, **shape, seconds=0.3)
    usage = Usage(server)
    done = bench.load("pingpong", port, **shape, seconds=bench.options.seconds)
    if done["errors"]:
        server.complain(f"{done['errors']} connections failed")
    figures = {
        "throughput": done["rps"] / 1000,
        **usage.figures(done["requests"] / 1e6),
        "p50": done["p50_us"],
        "p99": done["p99_us"],
    }
    server.stop()
    return figures


def requests(bench, name):
    answers, upstream = bench.upstream("answer", size=SIZE, answer_size=ANSWER)
    figures = pingpong(bench, name, upstream)
    answers.stop()
    return figures


def echo(bench, name):
    return pingpong(bench, name, None)


def idle(bench, name):
    hold, upstream = bench.upstream("hold")
    port = free_port()
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
        "servers": ["ringway", "haproxy", "nginx", "floor splice"],
        "columns": {"throughput": "GB/s", "cpu": "CPU, s/GB"},
    },
    "requests": {
        "title": f"TCP proxy, {CONNECTIONS} connections of small requests "
        f"({SIZE} bytes asked, {ANSWER} answered)",
        "run": requests,
        "servers": ["ringway", "haproxy", "nginx", "floor"],
        "columns": {"throughput": "1,000/s", "cpu": "CPU, us/request"},
    },
    "echo": {
        "title": f"Echo, {CONNECTIONS} connections, {SIZE} bytes",
        "run": echo,
        "servers": ["ringway", "floor", "tokio", "tokio-uring"],
        "columns": {"throughput": "1,000/s", "cpu": "CPU, us/request"},
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
    """What is to be reached, as (text, figure, limit, reached)."""

    def cpu(text, work, over, limit):
        return at_most(text, ratio(everything[work], "cpu", over), limit)

    rows = [
        cpu("bulk: CPU per GB over HAProxy's", "bulk", "haproxy", 0.5),
        cpu("bulk: CPU per GB over a bare splice loop's", "bulk", "floor splice", 1.2),
    ]
    for peer in ("haproxy", "nginx"):
        value = 1 / ratio(everything["bulk"], "throughput", peer)
        rows.append((f"bulk: throughput of {peer} over ours", value, "below 1", value < 1))
    rows += [
        cpu("requests: CPU per request over HAProxy's", "requests", "haproxy", 1.0),
        cpu("requests: CPU per request over nginx's", "requests", "nginx", 0.75),
        cpu("echo: CPU per request over a bare loop's", "echo", "floor", 1.1),
    ]
    memory = summary(everything["idle"], "ringway", "memory")
    rows.append(at_most("idle: KiB per proxied connection", memory, 2))
    return rows
