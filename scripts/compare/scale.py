"""What a request costs as there are more routes, hosts, regexes, servers or idle connections.

Each work is done with several sizes of one thing, and the figures are held against those of the
smallest. Open streams of one connection come with HTTP/2, and are not measured yet.
"""

import re
import socket
import sys
import time

import common
import http1
from common import OTHERS, SPARE, UNDER_TEST, Process, Usage, free_port
from figures import at_most, grown
from http1 import BODY, CONNECTIONS
from peers import program, versions

NAME, TITLE = "scale", "Scale"
# So many requests, spread over all routes or hosts, are made in turn.
SPREAD = 256
# With 100,000 routes, some servers take a while to start.
START_MAX = 120


class Bench(http1.Bench):
    def await_ready(self, process, port):
        deadline = time.monotonic() + START_MAX
        while True:
            if process.child.poll() is not None:
                process.complain("ended at once")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    process.complain(f"does not listen after {START_MAX} s")
                time.sleep(0.01)

    def method(self):
        return (
            f"The load is wrk, one thread, {CONNECTIONS} connections, and asks for {SPREAD} of the routes, hosts or "
            "regexes in turn, spread over all. In each round every server is measured with each size. The first line "
            "of a server is CPU per request in us, the second its ratio to the smallest size: the median of the "
            "rounds' own ratios. Summary and chart compare servers at the largest size. nginx has a location for each "
            "prefix and regex, HAProxy a list in a file (`path_beg -f`, `path_reg -f`, `hdr(host) -f`), and a cache of "
            f"what it found, which has room for all {SPREAD} requests. Servers of an upstream are addresses of one "
            "bare io_uring loop, which shares the load's core."
        )

    def peers(self):
        return versions("haproxy", "nginx")

    def extent(self):
        return f"{self.options.seconds} s per run"

    def write_ringway(self, port, routes, more=""):
        listener = f"""protocol = "http"
max_connections = 20000
keepalive_requests = "off"
keepalive_timeout = "10m"
{routes}
"""
        return self.ringway(port, listener, None, more)

    def write_nginx(self, port, servers, more=""):
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
    server_names_hash_max_size 1000000;
    server_names_hash_bucket_size 128;
    client_body_temp_path {self.folder}/{port}.body;
    proxy_temp_path {self.folder}/{port}.proxy;
    fastcgi_temp_path {self.folder}/{port}.fastcgi;
    uwsgi_temp_path {self.folder}/{port}.uwsgi;
    scgi_temp_path {self.folder}/{port}.scgi;
    default_type text/plain;
    tcp_nodelay on;
    {more}
    {servers}
}}
"""
        return [program("nginx"), "-c", self.write(f"{port}.conf", text)]


# Configurations: for each thing and server, one with so many of it.

NGINX_ANSWER = f'return 200 "{BODY}";'
HAPROXY_ANSWER = f'http-request return status 200 content-type text/plain string "{BODY}"'


def routes(key, values, answer):
    return "\n".join(f"[[listener.route]]\n{key} = '{value}'\n{answer}" for value in values)


RINGWAY_ANSWER = f'respond = "{BODY}"\ncontent_type = "text/plain"'


def prefix_of(number):
    return f"/api/v1/service{number}"


def regex_of(number):
    return f"^/service{number}/[0-9]+$"


def host_of(number):
    return f"www{number}.example.com"


def prefixes(bench, name, port, size):
    values = [prefix_of(number) for number in range(size)]
    if name == "ringway":
        return bench.write_ringway(port, routes("path_prefix", values, RINGWAY_ANSWER))
    if name == "nginx":
        locations = "\n".join(f"location {value} {{ {NGINX_ANSWER} }}" for value in values)
        return bench.write_nginx(port, f"server {{ listen 127.0.0.1:{port} backlog=4096;\n{locations} }}")
    path = bench.write(f"{port}.list", "\n".join(values) + "\n")
    return bench.write_haproxy(port, f"{HAPROXY_ANSWER} if {{ path_beg -f {path} }}")


def regexes(bench, name, port, size):
    values = [regex_of(number) for number in range(size)]
    if name == "ringway":
        return bench.write_ringway(port, routes("path_regex", values, RINGWAY_ANSWER))
    if name == "nginx":
        locations = "\n".join(f'location ~ "{value}" {{ {NGINX_ANSWER} }}' for value in values)
        return bench.write_nginx(port, f"server {{ listen 127.0.0.1:{port} backlog=4096;\n{locations} }}")
    path = bench.write(f"{port}.list", "\n".join(values) + "\n")
    return bench.write_haproxy(port, f"{HAPROXY_ANSWER} if {{ path_reg -f {path} }}")


def hosts(bench, name, port, size):
    values = [host_of(number) for number in range(size)]
    if name == "ringway":
        return bench.write_ringway(port, routes("host", values, RINGWAY_ANSWER))
    if name == "nginx":
        # What the socket is to be is said by one of them only.
        servers = "\n".join(
            f"server {{ listen 127.0.0.1:{port}{'' if number else ' backlog=4096'};"
            f" server_name {value}; location / {{ {NGINX_ANSWER} }} }}"
            for number, value in enumerate(values)
        )
        return bench.write_nginx(port, servers)
    path = bench.write(f"{port}.list", "\n".join(values) + "\n")
    return bench.write_haproxy(port, f"{HAPROXY_ANSWER} if {{ hdr(host) -f {path} }}")


def proxy(policy):
    """A proxy to so many servers, all of which are addresses of one."""
    nginx = {
        "round_robin": "",
        "least_requests": "least_conn;",
        "ewma": "random two least_conn;",
        "hash": "hash $uri consistent;",
    }
    haproxy = {"round_robin": "roundrobin", "least_requests": "leastconn", "ewma": "random(2)", "hash": "uri"}

    def write(bench, name, port, size):
        servers = [f"127.1.{number // 250}.{1 + number % 250}" for number in range(size)]
        addresses = [f"{server}:{bench.servers_port}" for server in servers]
        if name == "ringway":
            listed = ", ".join(f'"{address}"' for address in addresses)
            hashed = 'hash_on = "path"\n' if policy == "hash" else ""
            more = f'[upstream.u]\nbalance = "{policy}"\n{hashed}servers = [{listed}]\n'
            return bench.write_ringway(port, '[[listener.route]]\nproxy = "u"', more)
        if name == "nginx":
            listed = "\n".join(f"server {address};" for address in addresses)
            more = (
                f"upstream u {{ {nginx[policy]}\n{listed}\nkeepalive 4096; keepalive_requests 100000000; }}"
            )
            location = 'proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection "";'
            server = f"server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ {location} }} }}"
            return bench.write_nginx(port, server, more)
        listed = "\n    ".join(f"server s{number} {address}" for number, address in enumerate(addresses))
        return bench.write_haproxy(port, f"balance {haproxy[policy]}\n    http-reuse always\n    {listed}")

    return write


def sole(bench, name, port, _size):
    return prefixes(bench, name, port, 1)


def load(bench, port, requests, seconds):
    """Runs wrk with these requests (host, path) in turn."""
    lines = "\n".join(f"  wrk.format('GET', '{path}', {{ ['Host'] = '{host}' }})," for host, path in requests)
    script = bench.write(
        "turns.lua",
        f"init = function()\n requests = {{\n{lines}\n }}\n at = 0\nend\n"
        "request = function()\n at = at % #requests + 1\n return requests[at]\nend\n",
    )
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"]
    output, _spent = common.run_load([*command, "-s", script, f"http://127.0.0.1:{port}"])
    if "Socket errors" in output or "Non-2xx" in output:
        sys.exit(f"wrk: {output}")
    return int(re.search(r"(\d+) requests in", output).group(1))


def spread(size):
    """Numbers below a size, spread over all."""
    count = min(size, SPREAD)
    return [number * size // count for number in range(count)]


def costs(bench, port, server, requests):
    """CPU of a request, in us, once connections and caches are there."""
    load(bench, port, requests, 1)
    usage = Usage(server)
    done = load(bench, port, requests, bench.options.seconds)
    return usage.figures(done / 1e6)["cpu"]


def each_size(write, requests, sizes):
    def run(bench, name):
        figures = {}
        for size in at_hand(bench, sizes):
            port = free_port()
            server = Process(write(bench, name, port, size), UNDER_TEST)
            bench.await_ready(server, port)
            time.sleep(0.2)
            figures[str(size)] = costs(bench, port, server, requests(size))
            server.stop()
        return figures

    return run


def with_servers(write, sizes):
    alone = each_size(write, lambda _size: [("a", f"/{number}") for number in range(SPREAD)], sizes)

    def run(bench, name):
        bench.servers_port = free_port()
        behind = Process([bench.bins["floor"], "http", f"0.0.0.0:{bench.servers_port}"], OTHERS)
        behind.wait_for_port(bench.servers_port)
        figures = alone(bench, name)
        behind.stop()
        return figures

    return run


def with_idle(sizes):
    def run(bench, name):
        figures = {}
        for size in at_hand(bench, sizes):
            port = free_port()
            server = Process(sole(bench, name, port, 1), UNDER_TEST)
            bench.await_ready(server, port)
            held = []
            for _ in range(min(size, bench.connections_max)):
                one = socket.create_connection(("127.0.0.1", port))
                one.sendall(f"GET {prefix_of(0)} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                one.recv(4096)
                held.append(one)
            time.sleep(0.2)
            figures[str(size)] = costs(bench, port, server, [("a", prefix_of(0))])
            for one in held:
                one.close()
            server.stop()
        return figures

    return run


def at_hand(bench, sizes):
    """The sizes that are to be measured: at least the smallest."""
    most = bench.options.most
    return [size for size in sizes if most is None or size <= max(most, sizes[0])]


SIZES = {
    "prefixes": [1, 1_000, 10_000, 100_000],
    "hosts": [1, 10_000],
    "regexes": [1, 100, 1_000],
    "servers": [2, 1_000],
    "idle": [0, 8_000],
}
ALL = ["ringway", "nginx", "haproxy"]


def work(title, of, run):
    return {"title": title, "of": of, "run": run, "servers": ALL, "columns": {"cpu": "CPU, us/request"}}


WORKS = {
    "scale-prefixes": work(
        "Prefixes of paths",
        "prefixes",
        each_size(
            prefixes,
            lambda size: [("a", f"{prefix_of(number)}/users/7") for number in spread(size)],
            SIZES["prefixes"],
        ),
    ),
    "scale-hosts": work(
        "Hosts",
        "hosts",
        each_size(hosts, lambda size: [(host_of(number), "/") for number in spread(size)], SIZES["hosts"]),
    ),
    "scale-regexes": work(
        "Regular expressions of paths",
        "regexes",
        each_size(
            regexes,
            lambda size: [("a", f"/service{number}/4711") for number in spread(size)],
            SIZES["regexes"],
        ),
    ),
    **{
        f"scale-{policy}": work(
            f"Servers of an upstream, chosen by {policy}", "servers", with_servers(proxy(policy), SIZES["servers"])
        )
        for policy in ("round_robin", "least_requests", "ewma", "hash")
    },
    "scale-idle": work("Connections that are idle meanwhile", "idle", with_idle(SIZES["idle"])),
}


def targets(everything):
    """What is to be reached."""

    def most(text, key, size, limit):
        figures = everything[key]["ringway"]
        return [at_most(key, text, grown(figures, str(size)), limit)] if str(size) in figures else []

    return [
        *most("10,000 prefixes over one", "scale-prefixes", 10_000, 1.05),
        *most("10,000 hosts over one", "scale-hosts", 10_000, 1.05),
        *most("1,000 regexes over one", "scale-regexes", 1_000, 1.3),
        *most("1,000 servers over two, round_robin", "scale-round_robin", 1_000, 1.05),
        *most("1,000 servers over two, least_requests", "scale-least_requests", 1_000, 1.05),
        *most("1,000 servers over two, ewma", "scale-ewma", 1_000, 1.05),
        *most("1,000 servers over two, hash", "scale-hash", 1_000, 1.05),
    ]
