"""HTTP/1.1: fixed answers, reverse proxies, files, connections."""

import contextlib
import os
import re
import resource
import socket
import sys
import time

import common
from common import SPARE, Usage, free_port
from figures import at_most, ratio, summary
from half_load import HalfLoad
from peers import envoy, program, versions, with_envoy

NAME, TITLE = "http1", "HTTP/1.1"
CONNECTIONS, IDLE = 64, 10_000
SHAPE = {"connections": CONNECTIONS}
BODY = "hello, world"
SIZES = {"file1k": 1024, "file100k": 100 * 1024, "file100m": 100 * 1024 * 1024}


class Bench(common.Bench):
    scheme = "http"

    def __init__(self, options, bins):
        super().__init__(options, bins)
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.connections_max = min(20_000, (soft - SPARE) // 2)
        self.idle = min(IDLE, self.connections_max)
        self.files = os.path.join(self.folder, "files")
        os.mkdir(self.files)
        os.chmod(self.folder, 0o755)
        for name, size in SIZES.items():
            with open(os.path.join(self.files, name), "wb") as file:
                file.write(os.urandom(min(size, 1 << 20)) * max(1, size >> 20))

    # A work of files has `upstream` -1, a fixed answer None, a proxy a port.

    def command_ringway(self, port, upstream):
        if upstream == -1:
            action = f'files = "{self.files}"\nfile_cache_ttl = "60s"'
        elif upstream is None:
            action = f'respond = "{BODY}"\ncontent_type = "text/plain"'
        else:
            action = 'proxy = "u"'
        listener = f"""protocol = "http"
max_connections = 20000
keepalive_requests = "off"
[[listener.route]]
{action}
"""
        servers = "" if upstream in (None, -1) else f'[upstream.u]\nservers = ["127.0.0.1:{upstream}"]\n'
        return self.ringway(port, listener, None, servers)

    def command_nginx(self, port, upstream):
        if upstream == -1:
            location = f"root {self.files}; open_file_cache max=100 inactive=60s; sendfile on; tcp_nopush on;"
        elif upstream is None:
            location = f'default_type text/plain; return 200 "{BODY}";'
        else:
            location = 'proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection "";'
        servers = ""
        if upstream not in (None, -1):
            servers = f"upstream u {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 100000000; }}"
        text = f"""
daemon off;
worker_processes 1;
worker_rlimit_nofile {2 * self.connections_max + SPARE};
pid {self.folder}/{port}.pid;
error_log {self.folder}/{port}.log;
events {{ worker_connections 30000; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    keepalive_timeout 600s;
    client_body_temp_path {self.folder}/{port}.body;
    proxy_temp_path {self.folder}/{port}.proxy;
    fastcgi_temp_path {self.folder}/{port}.fastcgi;
    uwsgi_temp_path {self.folder}/{port}.uwsgi;
    scgi_temp_path {self.folder}/{port}.scgi;
    {servers}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        tcp_nodelay on;
        location / {{ {location} }}
    }}
}}
"""
        return [program("nginx"), "-c", self.write(f"{port}.conf", text)]

    def command_haproxy(self, port, upstream):
        if upstream is None:
            body = f'http-request return status 200 content-type text/plain string "{BODY}"'
        else:
            body = f"http-reuse always\n    server s 127.0.0.1:{upstream}"
        return self.write_haproxy(port, body)

    def write_haproxy(self, port, body, secured=""):
        text = f"""
global
    nbthread 1
    maxconn {self.connections_max}
defaults
    mode http
    timeout connect 5s
    timeout client 10m
    timeout server 10m
    timeout http-keep-alive 10m
listen t
    bind 127.0.0.1:{port}{secured}
    maxconn {self.connections_max}
    {body}
"""
        return [program("haproxy"), "-db", "-f", self.write(f"{port}.cfg", text)]

    def command_h2o(self, port, upstream):
        if upstream == -1:
            handler = f"file.dir: {self.files}"
        else:
            handler = f"proxy.reverse.url: http://127.0.0.1:{upstream}/\n        proxy.timeout.keepalive: 60000"
        text = f"""
num-threads: 1
max-connections: {self.connections_max}
http1-request-timeout: 600
listen:
  host: 127.0.0.1
  port: {port}
hosts:
  default:
    paths:
      /:
        {handler}
"""
        return [program("h2o"), "-m", "worker", "-c", self.write(f"{port}.yaml", text)]

    def command_envoy(self, port, upstream):
        if upstream is None:
            route = f'direct_response: {{ status: 200, body: {{ inline_string: "{BODY}" }} }}'
        else:
            route = "route: { cluster: u }"
        text = f"""
static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: t
          route_config:
            virtual_hosts:
            - name: t
              domains: ["*"]
              routes:
              - match: {{ prefix: "/" }}
                {route}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: u
    connect_timeout: 5s
    type: STATIC
    load_assignment:
      cluster_name: u
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {upstream or 1} }} }} }}
"""
        path = self.write(f"{port}.yaml", text)
        return [envoy(), "-c", path, "--concurrency", "1", "--log-level", "error", "--base-id", str(port)]

    def command_floor(self, port, _upstream):
        return [self.bins["floor"], "http", f"127.0.0.1:{port}"]

    def method(self):
        missing = "" if envoy() else " Envoy was not there to be measured."
        return (
            f"The load is wrk, one thread, {CONNECTIONS} connections; the upstream of the proxies is a bare io_uring "
            "loop with a fixed answer, and shares the load's core. `floor` is that loop itself "
            f"(`benches/floor/`).{missing}"
        )

    def peers(self):
        return versions("haproxy", "nginx", "h2o", "envoy")

    def extent(self):
        few = "" if self.idle == IDLE else " (the limit of open files allows no more)"
        return f"{self.options.seconds} s per run, {self.idle} idle connections{few}"


def wrk(bench, port, path="/", headers=(), seconds=None):
    seconds = round(seconds or bench.options.seconds)
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "--timeout", "30s"]
    for header in headers:
        command += ["-H", header]
    output, spent = common.run_load([*command, f"{bench.scheme}://127.0.0.1:{port}{path}"])
    if "Socket errors" in output or "Non-2xx" in output:
        sys.exit(f"wrk: {output}")
    requests = int(re.search(r"(\d+) requests in", output).group(1))
    amount, unit = re.search(r"([\d.]+)(B|KB|MB|GB|TB) read", output).groups()
    # wrk's units are powers of 1,024.
    read = float(amount) * 1024 ** ["B", "KB", "MB", "GB", "TB"].index(unit)
    micros = {}
    for percent, value, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", output):
        micros[percent] = float(value) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1))
    return {"requests": requests, "read": read, "rps": rate, "micros": micros, **spent}


# How a work is served: each a context manager that gives a server under test and its port.


@contextlib.contextmanager
def answering(bench, name):
    """A fixed answer."""
    with bench.serving(name) as served:
        yield served


@contextlib.contextmanager
def with_files(bench, name):
    with bench.serving(name, -1) as served:
        yield served


@contextlib.contextmanager
def proxying(bench, name):
    with bench.behind(bench.command_floor) as (_, behind), bench.serving(name, behind) as served:
        yield served


def under_load(serve, path="/", headers=()):
    def run(bench, name):
        with serve(bench, name) as (server, port):
            wrk(bench, port, path, headers, 1)
            usage = Usage(server)
            done = wrk(bench, port, path, headers)
            return {
                "throughput": done["rps"] / 1000,
                **usage.figures(done["requests"] / 1e6),
                "p50": done["micros"]["50"],
                "p99": done["micros"]["99"],
            }

    return run


def bulk(path):
    """A file so large that only bytes can be counted: few requests end within a run."""

    def run(bench, name):
        with with_files(bench, name) as (server, port):
            wrk(bench, port, path, seconds=1)
            usage = Usage(server)
            done = wrk(bench, port, path)
            return {"throughput": done["read"] / 1e9 / done["taken"], **usage.figures(done["read"] / 1e9)}

    return run


def half_load(serve, path="/"):
    """The same GETs in an open loop."""

    def arguments(bench, _name, port):
        secured = ["--insecure"] if bench.scheme == "https" else []
        return [f"{bench.scheme}://127.0.0.1:{port}{path}", "--http1", *secured, *common.flags(SHAPE)]

    return HalfLoad(serve, arguments)


def idle(bench, name):
    port = free_port()
    server = bench.start(name, port, None)
    before = server.memory_kib("VmRSS:")
    held = []
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    for _ in range(bench.idle):
        one = socket.create_connection(("127.0.0.1", port))
        one.sendall(request)
        one.recv(4096)
        held.append(one)
    time.sleep(0.5)
    after = server.memory_kib("VmRSS:")
    figures = {"memory": (after - before) / bench.idle, "resident": after / 1024}
    for one in held:
        one.close()
    server.stop()
    return figures


COLUMNS = {"throughput": "1,000/s", "cpu": "CPU, us/request"}
WORKS = {
    "fixed": {
        "title": f"A fixed answer of 12 bytes, {CONNECTIONS} connections",
        "run": under_load(answering),
        "servers": with_envoy("ringway", "ringway epoll", "nginx", "haproxy", "envoy", "floor"),
        "columns": COLUMNS,
        "half_load": half_load(answering),
    },
    "proxy": {
        "title": f"Reverse proxy to a keep-alive upstream, {CONNECTIONS} connections",
        "run": under_load(proxying),
        "servers": with_envoy("ringway", "ringway epoll", "haproxy", "nginx", "h2o", "envoy"),
        "columns": COLUMNS,
        "half_load": half_load(proxying),
    },
    "file1k": {
        "title": "A file of 1 KiB",
        "run": under_load(with_files, "/file1k"),
        "servers": ["ringway", "ringway epoll", "nginx", "h2o"],
        "columns": COLUMNS,
        "half_load": half_load(with_files, "/file1k"),
    },
    "file100k": {
        "title": "A file of 100 KiB",
        "run": under_load(with_files, "/file100k"),
        "servers": ["ringway", "ringway epoll", "nginx", "h2o"],
        "columns": COLUMNS,
        "half_load": half_load(with_files, "/file100k"),
    },
    "file100m": {
        "title": "A file of 100 MiB",
        "run": bulk("/file100m"),
        "servers": ["ringway", "ringway epoll", "nginx", "h2o"],
        "columns": {"throughput": "GB/s", "cpu": "CPU, s/GB"},
    },
    "connection": {
        "title": "A connection for each request",
        "run": under_load(answering, headers=("Connection: close",)),
        "servers": ["ringway", "ringway epoll", "haproxy", "nginx"],
        "columns": COLUMNS,
    },
    "idle-http": {
        "title": "Idle connections that have asked once",
        "run": idle,
        "servers": ["ringway", "nginx", "haproxy"],
        "columns": {},
        "runs": 1,
    },
}


def targets(everything):
    """What is to be reached."""

    def cpu(text, work, over, limit, of="ringway"):
        return at_most(work, text, ratio(everything[work], "cpu", over, of), limit)

    rows = [
        cpu("fixed answer: CPU per request over nginx's", "fixed", "nginx", 0.95),
        cpu("fixed answer: CPU per request over a bare loop's", "fixed", "floor", 1.15),
        cpu("proxy: CPU per request over HAProxy's", "proxy", "haproxy", 0.9),
        cpu("proxy: CPU per request over nginx's", "proxy", "nginx", 0.85),
        cpu("proxy without io_uring: CPU per request over HAProxy's", "proxy", "haproxy", 1.1, "ringway epoll"),
    ]
    if envoy():
        rows.append(cpu("proxy: CPU per request over Envoy's", "proxy", "envoy", 0.4))
    rows += [
        cpu("1 KiB file: CPU per request over nginx's", "file1k", "nginx", 0.8),
        cpu("100 KiB file: CPU per request over nginx's", "file100k", "nginx", 0.95),
        cpu("100 MiB file: CPU per request over nginx's", "file100m", "nginx", 1.0),
        cpu("a connection each: CPU per request over HAProxy's", "connection", "haproxy", 1.0),
    ]
    memory = summary(everything["idle-http"], "ringway", "memory")
    rows.append(at_most("idle-http", "idle: KiB per connection", memory, 1))
    return rows
