"""WebSocket: echoes, fan-out of a topic, a proxy, idle connections."""

import contextlib
import json
import subprocess
import sys
import time

import common
import grpc
import http1
from common import OTHERS, SPARE, Process, Usage, free_port
from figures import at_least, at_most, ratio, summary
from half_load import HalfLoad
from peers import crate_versions, versions

NAME, TITLE = "websocket", "WebSocket"
CONNECTIONS, SUBSCRIBERS, PUBLISHES = 100, 10_000, 20
# Idle connections; with compression fewer, because some servers need a lot of memory for it.
IDLE, IDLE_DEFLATE = 50_000, 5_000
# The read buffer of tungstenite, which the library's user has to choose: what was best of all
# powers of two for the echoes, and what its documentation advises for many connections.
READ_BUFFER, READ_BUFFER_MANY = 16 * 1024, 4 * 1024

# Ringway's routes for the works, and what else of its configuration they need.
# Idle connections are held for longer than a client may be silent; no other server pings.
ECHO = """
path = "/echo"
websocket = { service = "echo", ping_interval = "off", idle_timeout = "off" }
"""
TOPICS = """
path = "/topics"
websocket = { service = "topics", topics = "bench", deflate_min = "0B" }
"""
ROUTES = {"echo": (ECHO, ""), "fanout": (TOPICS, "[topics.bench]\n"), "proxy": ('proxy = "u"\n', "")}
PATHS = {"echo": "/echo", "fanout": "/topics", "proxy": "/echo"}


class Bench(http1.Bench):
    def __init__(self, options, bins):
        super().__init__(options, {**bins, **grpc.build_peers()})
        # What the servers do: a key of ROUTES.
        self.kind = "echo"
        self.read_buffer = READ_BUFFER
        # Each connection is a descriptor of the server, and one of the load.
        limit = 2 * self.connections_max + SPARE
        # Ringway keeps an eighth of its descriptors for files and connects.
        self.idle = min(IDLE, limit * 7 // 8 - SPARE)
        self.subscribers = min(SUBSCRIBERS, limit - SPARE)

    def command_ringway(self, port, upstream):
        route, more = ROUTES[self.kind]
        listener = f"""protocol = "http"
max_connections = {max(self.idle, self.subscribers) + SPARE}
[[listener.route]]
{route}
"""
        servers = "" if upstream is None else f'[upstream.u]\nservers = ["127.0.0.1:{upstream}"]\n'
        return self.ringway(port, listener, None, more + servers)

    def command_tungstenite(self, port, _upstream):
        if self.kind == "fanout":
            return [self.bins["tokio-fanout"], f"127.0.0.1:{port}"]
        return [self.bins["tungstenite-echo"], f"127.0.0.1:{port}", str(self.read_buffer)]

    def command_fastwebsockets(self, port, _upstream):
        return [self.bins["fastwebsockets-echo"], f"127.0.0.1:{port}"]

    def command_sockudo(self, port, _upstream):
        return [self.bins[f"sockudo-{self.kind}"], f"127.0.0.1:{port}"]

    def command_yawc(self, port, _upstream):
        return [self.bins[f"yawc-{self.kind}"], f"127.0.0.1:{port}"]

    def command_nginx(self, port, upstream):
        command = super().command_nginx(port, upstream)
        with open(command[-1], encoding="utf-8") as file:
            text = file.read()
        keepalive = 'proxy_set_header Connection "";'
        if keepalive not in text:
            sys.exit("nginx: the configuration of a proxy is not what it was")
        upgrade = (
            "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_read_timeout 600s;"
        )
        return [*command[:-1], self.write(f"{port}.conf", text.replace(keepalive, upgrade))]

    def method(self):
        return (
            "The load is `websocket-load` of "
            "`benches/peers`, a loop over epoll whose frames are made and masked in advance; it checks the first "
            "message of each connection byte by byte, and of all others the length. Peers are programs of "
            "`benches/peers`, with a runtime of Tokio of one thread, TCP_NODELAY, and the settings of their "
            f"libraries, but for tungstenite's read buffer: {READ_BUFFER // 1024} KiB for echoes and "
            f"{READ_BUFFER_MANY // 1024} KiB for many connections, because its default of 128 KiB costs it more of "
            "both. tungstenite, sockudo-ws and yawc flush once no further message has been read; fastwebsockets "
            "writes each message at once. yawc's connections share a pool of compressors. Pipelined, a connection "
            "sends 16 messages in one write, and the next 16 once all "
            "have come back. With permessage-deflate no context is taken over, in either direction. Of fan-out, the "
            "next message is published once all subscribers have the one before; peers use "
            "`tokio::sync::broadcast`, and frame or compress a message for each connection, as their libraries do. "
            "An echo of fastwebsockets is behind the proxies, and shares the load's core. Idle connections have got "
            "one message back. `ringway bench` does not compress, so that echoes with permessage-deflate are without "
            "half load."
        )

    def peers(self):
        crates = ("tokio-tungstenite", "fastwebsockets", "sockudo-ws", "yawc", "tokio")
        return crate_versions(f"{grpc.PEERS}/Cargo.lock", crates) + versions("nginx", "haproxy")

    def extent(self):
        few = "" if self.idle == IDLE else " (the limit of open files allows no more)"
        return (
            f"{self.options.seconds} s per run, {self.subscribers} subscribers, {self.idle} idle connections{few}, "
            f"{min(self.idle, IDLE_DEFLATE)} with permessage-deflate"
        )


class Held:
    """A load that tells when all its connections stand, and goes on when it is told to."""

    def __init__(self, bench, mode, port, *switches, **options):
        target = ["--target", f"127.0.0.1:{port}", "--path", PATHS[bench.kind]]
        command = [bench.bins["websocket-load"], mode, *target, *switches, *common.flags(options)]
        self.process = Process(command, OTHERS, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.answer()

    def answer(self):
        line = self.process.child.stdout.readline()
        if not line:
            self.process.child.wait()
            self.process.complain("ended")
        return json.loads(line)

    def go_on(self):
        self.process.child.stdin.write("\n")
        self.process.child.stdin.flush()


def load(bench, port, switches, **options):
    target = ["--target", f"127.0.0.1:{port}", "--path", PATHS[bench.kind], "--connections", str(CONNECTIONS)]
    command = [bench.bins["websocket-load"], "echo", *target, *switches, *common.flags(options)]
    output, spent = common.run_load(command)
    return {**json.loads(output), **spent}


@contextlib.contextmanager
def echoing(bench, name):
    bench.kind, bench.read_buffer = "echo", READ_BUFFER
    with bench.serving(name) as served:
        yield served


@contextlib.contextmanager
def proxying(bench, name):
    bench.kind = "proxy"
    with bench.behind(bench.command_fastwebsockets) as (_, behind), bench.serving(name, behind) as served:
        yield served


def closed_loop(serve, size, pipeline, *switches):
    options = {"size": size, "pipeline": pipeline}

    def run(bench, name):
        with serve(bench, name) as (server, port):
            load(bench, port, switches, seconds=0.5, **options)
            usage = Usage(server)
            done = load(bench, port, switches, seconds=bench.options.seconds, **options)
            figures = {
                "throughput": done["messages"] / done["seconds"] / 1000,
                **usage.figures(done["messages"] / 1e6),
                "p50": done["p50"],
                "p99": done["p99"],
                **usage.cores(done),
            }
            if "--deflate" in switches:
                figures["bytes"] = done["bytes"]
            if serve is proxying:
                # What the upstream has used is not the load's.
                figures.pop("others")
            return figures

    return run


def half_load(serve, size, streams):
    """The same messages in an open loop."""

    def arguments(bench, _name, port):
        shape = {"connections": CONNECTIONS, "streams": streams, "size": size}
        return [f"ws://127.0.0.1:{port}{PATHS[bench.kind]}", "--binary", *common.flags(shape)]

    return HalfLoad(serve, arguments)


def fanout(*switches):
    def run(bench, name):
        bench.kind = "fanout"
        port = free_port()
        server = bench.start(name, port, None)
        held = Held(bench, "fanout", port, *switches, subscribers=bench.subscribers, size=256, publishes=PUBLISHES)
        (usage, others, started) = (Usage(server), Usage(held.process), time.monotonic())
        held.go_on()
        done = held.answer()
        spent = {"used": held.process.cpu_seconds() - others.cpu, "taken": time.monotonic() - started}
        figures = {
            **usage.figures(done["deliveries"] / 1e6),
            "first": done["first"],
            "last": done["last"] / 1000,
            "bytes": done["bytes"],
            **usage.cores(spent),
        }
        held.process.stop()
        server.stop()
        return figures

    return run


def idle(*switches):
    def run(bench, name):
        bench.kind, bench.read_buffer = "echo", READ_BUFFER_MANY
        port = free_port()
        server = bench.start(name, port, None)
        before = server.memory_kib("VmRSS:")
        connections = min(bench.idle, IDLE_DEFLATE) if switches else bench.idle
        held = Held(bench, "idle", port, *switches, connections=connections)
        time.sleep(0.5)
        after = server.memory_kib("VmRSS:")
        held.process.stop()
        server.stop()
        return {"memory": (after - before) / connections, "resident": after / 1024}

    return run


COLUMNS = {"throughput": "1,000/s", "cpu": "CPU, us/message"}
DELIVERY = {"cpu": "CPU, us/delivery"}
SERVERS = ["ringway", "tungstenite", "fastwebsockets", "sockudo"]
WORKS = {
    "ws-echo64": {
        "title": f"Echo of 64 bytes, {CONNECTIONS} connections",
        "run": closed_loop(echoing, 64, 1),
        "servers": SERVERS,
        "columns": COLUMNS,
        "half_load": half_load(echoing, 64, 1),
    },
    "ws-echo16k": {
        "title": f"Echo of 16 KiB, {CONNECTIONS} connections",
        "run": closed_loop(echoing, 16 * 1024, 1),
        "servers": SERVERS,
        "columns": COLUMNS,
        "half_load": half_load(echoing, 16 * 1024, 1),
    },
    "ws-pipelined": {
        "title": f"Echo of 64 bytes, {CONNECTIONS} connections, 16 messages of each at a time",
        "run": closed_loop(echoing, 64, 16),
        "servers": SERVERS,
        "columns": COLUMNS,
        "half_load": half_load(echoing, 64, 16),
    },
    "ws-deflate": {
        "title": f"Echo of 1 KiB of JSON with permessage-deflate, {CONNECTIONS} connections",
        "run": closed_loop(echoing, 1024, 1, "--deflate"),
        "servers": ["ringway", "sockudo", "yawc"],
        "columns": {**COLUMNS, "bytes": "bytes of an answer"},
    },
    "ws-fanout": {
        "title": f"A message of 256 bytes to {SUBSCRIBERS:,} subscribers",
        "run": fanout(),
        "servers": ["ringway", "tungstenite", "sockudo"],
        "columns": DELIVERY,
    },
    "ws-fanout-deflate": {
        "title": f"A message of 256 bytes to {SUBSCRIBERS:,} subscribers with permessage-deflate",
        "run": fanout("--deflate"),
        "servers": ["ringway", "sockudo", "yawc"],
        "columns": DELIVERY,
    },
    "ws-proxy": {
        "title": f"Proxy of an echo of 64 bytes, {CONNECTIONS} connections",
        "run": closed_loop(proxying, 64, 1),
        "servers": ["ringway", "nginx", "haproxy"],
        "columns": COLUMNS,
        "half_load": half_load(proxying, 64, 1),
    },
    "ws-idle": {
        "title": "Idle connections",
        "run": idle(),
        "servers": SERVERS,
        "columns": {},
        "runs": 1,
    },
    "ws-idle-deflate": {
        "title": "Idle connections with permessage-deflate",
        "run": idle("--deflate"),
        "servers": ["ringway", "sockudo", "yawc"],
        "columns": {},
        "runs": 1,
    },
}


def targets(everything):
    """What is to be reached."""
    rows = []

    def per_second(text, key, peer, least):
        value = 1 / ratio(everything[key], "cpu", peer)
        rows.append(at_least(key, f"{text}: messages per CPU second over {peer}'s", value, least))

    for size, key in (("64 B", "ws-echo64"), ("16 KiB", "ws-echo16k")):
        per_second(f"echo of {size}", key, "fastwebsockets", 1.3)
        per_second(f"echo of {size}", key, "tungstenite", 1.3)
        per_second(f"echo of {size}", key, "sockudo", 1.1)
    per_second("echo of 64 B, 16 at a time", "ws-pipelined", "tungstenite", 3)
    for peer in ("sockudo", "yawc"):
        per_second("echo with permessage-deflate", "ws-deflate", peer, 1.5)
    for text, key, peer in (
        ("fan-out", "ws-fanout", "tungstenite"),
        ("fan-out with permessage-deflate", "ws-fanout-deflate", "sockudo"),
        ("fan-out with permessage-deflate", "ws-fanout-deflate", "yawc"),
    ):
        results = everything[key]
        over = f"that of Tokio and {peer}"
        rows.append(at_most(key, f"{text}: CPU per delivery over {over}", ratio(results, "cpu", peer), 0.5))
        rows.append(at_most(key, f"{text}: time to the last over {over}", ratio(results, "last", peer), 0.5))
    value = ratio(everything["ws-proxy"], "cpu", "nginx")
    rows.append(at_most("ws-proxy", "proxy: CPU per message over nginx's", value, 0.8))
    for text, key in (("idle", "ws-idle"), ("idle with permessage-deflate", "ws-idle-deflate")):
        rows.append(at_most(key, f"{text}: KiB per connection", summary(everything[key], "ringway", "memory"), 2))
    return rows
