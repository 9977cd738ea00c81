"""Ringway beside its peers: the same work, one run, CPU of the process under test as ratios.

Called by scripts/compare.sh. The process under test has CPU 0 for itself; upstream and load share
CPU 1. Each work is done by every server in turn, several rounds; medians are reported.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

UNDER_TEST, OTHERS = {0}, {1}
SIZE, ANSWER, CONNECTIONS = 100, 200, 64
PAGE = "docs/benchmarks.md"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A child on given CPUs, and what it and its children have used."""

    started = []

    def __init__(self, command, cpus, stdin=None, stdout=subprocess.DEVNULL):
        self.child = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )
        Process.started.append(self)

    def tree(self):
        pids, todo = [], [self.child.pid]
        while todo:
            pid = todo.pop()
            pids.append(pid)
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/children") as children:
                        todo += [int(child) for child in children.read().split()]
            except FileNotFoundError:
                pass
        return pids

    def cpu_seconds(self):
        """Of all threads of all processes, from the scheduler, in nanoseconds."""
        total = 0
        for pid in self.tree():
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/schedstat") as stat:
                    total += int(stat.read().split()[0])
        return total / 1e9

    def memory_kib(self, key):
        total = 0
        for pid in self.tree():
            with open(f"/proc/{pid}/status") as status:
                total += sum(int(line.split()[1]) for line in status if line.startswith(key))
        return total

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGKILL if self.tree()[1:] == [] else signal.SIGTERM)
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                for pid in self.tree():
                    os.kill(pid, signal.SIGKILL)
                self.child.wait()
        Process.started.remove(self)

    @staticmethod
    def stop_all():
        for process in list(Process.started):
            process.stop()


def wait_for_port(port):
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.01)
    sys.exit(f"nothing listens on port {port} after five seconds")


class Bench:
    """The programs, and a folder for their configurations."""

    def __init__(self, options):
        self.options = options
        self.folder = tempfile.mkdtemp(prefix="ringway-compare-")
        self.bins = build()
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.idle = min(10_000, (soft - 500) // 2)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def start(self, name, port, upstream):
        """Starts a server under test on `port`; `upstream` is a port, or None for echo."""
        command = getattr(self, "command_" + name.replace("-", "_").replace(" ", "_"))
        process = Process(command(port, upstream), UNDER_TEST)
        wait_for_port(port)
        time.sleep(0.2)
        return process

    def command_ringway(self, port, upstream):
        text = f"""
[runtime]
workers = 1
pin = false
[admin]
enabled = false
[[listener]]
name = "t"
listen = "127.0.0.1:{port}"
max_connections = 20000
protocol = "{'echo' if upstream is None else 'tcp'}"
"""
        if upstream is not None:
            text += f'upstream = "u"\n[upstream.u]\nservers = ["127.0.0.1:{upstream}"]\n'
        return [self.bins["ringway"], "serve", "--config", self.write(f"{port}.toml", text)]

    def command_haproxy(self, port, upstream):
        text = f"""
global
    nbthread 1
    maxconn {self.idle}
    maxpipes 100
defaults
    mode tcp
    timeout connect 5s
    timeout client 10m
    timeout server 10m
    option splice-auto
listen t
    bind 127.0.0.1:{port}
    maxconn {self.idle}
    server s 127.0.0.1:{upstream}
"""
        return ["haproxy", "-db", "-f", self.write(f"{port}.cfg", text)]

    def command_nginx(self, port, upstream):
        text = f"""
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes 1;
pid {self.folder}/{port}.pid;
error_log {self.folder}/{port}.log;
events {{ worker_connections {2 * self.idle + 100}; }}
stream {{
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        proxy_pass 127.0.0.1:{upstream};
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
        return [self.bins["baseline"], "tokio", f"127.0.0.1:{port}"]

    def command_tokio_uring(self, port, _upstream):
        return [self.bins["baseline"], "tokio-uring", f"127.0.0.1:{port}"]

    def load(self, *args):
        command = [self.bins["load"], *map(str, args)]
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            preexec_fn=lambda: os.sched_setaffinity(0, OTHERS),
            timeout=120,
        )
        return json.loads(done.stdout)

    def upstream(self, *args):
        port = free_port()
        command = [self.bins["load"], args[0], f"127.0.0.1:{port}", *map(str, args[1:])]
        process = Process(command, OTHERS)
        wait_for_port(port)
        return process, port


def build():
    """Builds all, and finds the executables."""
    bins = {}
    for what in (["--bins"], ["--benches"]):
        command = ["cargo", "build", "--release", "--locked", *what]
        subprocess.run(command, check=True)
        found = subprocess.run(
            [*command, "--quiet", "--message-format=json"],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        for line in found.stdout.splitlines():
            message = json.loads(line)
            kinds = message.get("target", {}).get("kind", [])
            if message.get("executable") and ("bin" in kinds or "bench" in kinds):
                bins[message["target"]["name"]] = message["executable"]
    return bins


# Each work: one round on one server gives a dictionary of figures.


def bulk(bench, name):
    sink, upstream = bench.upstream("sink")
    port = free_port()
    server = bench.start(name, port, upstream)
    before = server.cpu_seconds()
    done = bench.load("bulk", f"127.0.0.1:{port}", bench.options.gigabytes)
    used = server.cpu_seconds() - before
    figures = {
        "throughput": done["gigabytes"] / done["seconds"],
        "cpu": used / done["gigabytes"],
        "rss": server.memory_kib("VmHWM:") / 1024,
    }
    server.stop()
    sink.stop()
    return figures


def pingpong(bench, name, upstream):
    port = free_port()
    server = bench.start(name, port, upstream)
    answer = SIZE if upstream is None else ANSWER
    target = f"127.0.0.1:{port}"
    bench.load("pingpong", target, CONNECTIONS, SIZE, answer, 0.3)
    before = server.cpu_seconds()
    done = bench.load("pingpong", target, CONNECTIONS, SIZE, answer, bench.options.seconds)
    used = server.cpu_seconds() - before
    if done["errors"]:
        sys.exit(f"{name}: the load met an error")
    figures = {
        "throughput": done["requests"] / done["seconds"] / 1000,
        "cpu": used / done["requests"] * 1e6,
        "p50": done["p50_us"],
        "p99": done["p99_us"],
        "rss": server.memory_kib("VmHWM:") / 1024,
    }
    server.stop()
    return figures


def requests(bench, name):
    answers, upstream = bench.upstream("answer", SIZE, ANSWER)
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
    command = [bench.bins["load"], "idle", f"127.0.0.1:{port}", str(bench.idle)]
    load = Process(command, OTHERS, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    load.child.stdout.readline()
    time.sleep(1)
    figures = {"memory": (server.memory_kib("VmRSS:") - before) / bench.idle}
    for process in (load, server, hold):
        process.stop()
    return figures


COLUMNS = {
    "throughput": None,
    "cpu": None,
    "p50": "p50, us",
    "p99": "p99, us",
    "rss": "peak RSS, MiB",
    "memory": "KiB resident per connection",
}

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


def measure(bench, work):
    """All rounds of a work, the servers in turn; {server: {figure: [values]}}."""
    results = {name: {} for name in work["servers"]}
    for number in range(work.get("runs", bench.options.runs)):
        for name in work["servers"]:
            print(f"  {work['title']}: round {number + 1}, {name}", file=sys.stderr, flush=True)
            for figure, value in work["run"](bench, name).items():
                results[name].setdefault(figure, []).append(value)
    return results


def median(results, name, figure):
    return statistics.median(results[name][figure])


def ratio(results, figure, over):
    """Ringway over another: the median of the rounds' own ratios, which share their noise."""
    own, other = results["ringway"][figure], results[over][figure]
    return statistics.median(a / b for a, b in zip(own, other))


def table(work, results):
    figures = list(results["ringway"])
    main = "memory" if "memory" in figures else "cpu"
    titles = [work["columns"].get(figure) or COLUMNS[figure] for figure in figures]
    head = ["", *titles, f"{'CPU' if main == 'cpu' else 'memory'}: Ringway / this", "spread"]
    rows = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for name in work["servers"]:
        values = [f"{median(results, name, figure):.3g}" for figure in figures]
        all_values = results[name][main]
        spread = f"{min(all_values):.3g} to {max(all_values):.3g}"
        rows.append([name, *values, f"{ratio(results, main, name):.2f}", spread])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def targets(everything):
    """What is to be reached, as (text, figure, limit, reached)."""
    rows = []

    def at_most(text, work, over, limit):
        if over in everything[work]:
            value = ratio(everything[work], "cpu", over)
            rows.append((text, value, f"at most {limit}", value <= limit))

    at_most("bulk: CPU per GB over HAProxy's", "bulk", "haproxy", 0.5)
    at_most("bulk: CPU per GB over a bare splice loop's", "bulk", "floor splice", 1.2)
    for peer in ("haproxy", "nginx"):
        value = 1 / ratio(everything["bulk"], "throughput", peer)
        rows.append((f"bulk: throughput of {peer} over ours", value, "below 1", value < 1))
    at_most("requests: CPU per request over HAProxy's", "requests", "haproxy", 1.0)
    at_most("requests: CPU per request over nginx's", "requests", "nginx", 0.75)
    at_most("echo: CPU per request over a bare loop's", "echo", "floor", 1.1)
    value = median(everything["idle"], "ringway", "memory")
    rows.append(("idle: KiB per proxied connection", value, "at most 2", value <= 2))
    return rows


def version(command):
    done = subprocess.run(command, capture_output=True, text=True)
    lines = (done.stdout + done.stderr).splitlines()
    return lines[0].strip() if lines else "?"


def processor():
    with open("/proc/cpuinfo") as info:
        names = [line.split(":", 1)[1].strip() for line in info if line.startswith("model name")]
    return names[0] if names else platform.machine()


def notes():
    """The part of the page that people write."""
    try:
        with open(PAGE) as page:
            return page.read().split("<!-- notes -->")[1].split("<!-- /notes -->")[0]
    except (FileNotFoundError, IndexError):
        return "\n"


def write_page(bench, everything, seconds):
    options = bench.options
    lines = [
        "# Benchmarks",
        "",
        "Written by `scripts/compare.sh tcp`; only the notes are by hand.",
        "",
        "## Method",
        "",
        "Ringway and its peers do the same work in one run, in turn, "
        f"{options.runs} rounds (idle: one); medians. One worker or thread each. The process under "
        "test has CPU 0, upstream and load (`benches/load.rs`) share CPU 1, all over loopback. CPU "
        "is the run time of all threads of the process under test and its children, from the "
        "scheduler (`/proc/PID/task/*/schedstat`), which includes the kernel's work on their "
        "behalf. Ratios are medians of the rounds' own ratios. *spread* is the least and the most "
        "of the figure that the ratio is made of: it tells how noisy the machine was. `floor` is a "
        "bare io_uring loop, `floor splice` a bare splice loop (`benches/floor.rs`); `tokio` and "
        "`tokio-uring` are echo servers as one writes them (`benches/baseline.rs`).",
        "",
        f"Machine: {processor()}, {os.cpu_count()} CPUs, Linux {platform.release()}. "
        f"Peers: {version(['haproxy', '-v'])}; {version(['nginx', '-v'])}. "
        f"{options.gigabytes} GB per bulk run, {options.seconds} s per run of requests, "
        f"{bench.idle} idle connections"
        + ("" if bench.idle == 10_000 else " (the limit of open files allows no more)")
        + f". The run took {seconds:.0f} s.",
        "",
        "## Targets",
        "",
        "| what | measured | target | |",
        "| --- | ---: | --- | --- |",
    ]
    for text, value, limit, reached in targets(everything):
        lines.append(f"| {text} | {value:.2f} | {limit} | {'reached' if reached else '**missed**'} |")
    lines += ["", f"<!-- notes -->{notes()}<!-- /notes -->", ""]
    for key, work in WORKS.items():
        lines += [f"## {work['title']}", "", table(work, everything[key]), ""]
    with open(PAGE, "w") as page:
        page.write("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(prog="scripts/compare.sh")
    parser.add_argument("what", choices=["tcp"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--gigabytes", type=float, default=4.0)
    parser.add_argument("--only", choices=list(WORKS), help="one work; nothing is written")
    options = parser.parse_args()
    bench = Bench(options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    started = time.monotonic()
    try:
        chosen = {k: w for k, w in WORKS.items() if options.only in (None, k)}
        everything = {}
        for key, work in chosen.items():
            everything[key] = measure(bench, work)
            print(f"\n{work['title']}\n{table(work, everything[key])}\n", flush=True)
        if options.only is None:
            write_page(bench, everything, time.monotonic() - started)
            for text, value, limit, reached in targets(everything):
                print(f"{'reached' if reached else 'MISSED '}  {value:5.2f}  {limit:12}  {text}")
    finally:
        Process.stop_all()
        shutil.rmtree(bench.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
