"""Ringway beside its peers: the same work, one run, CPU of the process under test as ratios.

Called by scripts/compare.sh. The process under test has CPU 0 for itself; upstream and load share
CPU 1. Each work is done by every server in turn, several rounds; medians are reported.

A new work is a function that gives one round's figures, and an entry in WORKS; a new subcommand of
the shell script is an entry in SCENARIOS.
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
IDLE = 10_000
# Descriptors of a server beside those of connections.
SPARE = 500
PAGE = "docs/benchmarks.md"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A child on given CPUs, and what it and its children have used."""

    started = []

    def __init__(self, command, cpus, stdin=None, stdout=subprocess.DEVNULL):
        self.name = os.path.basename(command[0])
        self.errors = tempfile.TemporaryFile("w+")
        self.child = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=self.errors,
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
        """Run time of all threads of all processes, also of threads that have ended.

        This is the process's CPU clock: the sum that /proc/PID/task/*/schedstat gives, in
        nanoseconds, but for threads that are gone, which only the clock still counts.
        """
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in self.tree())

    def user_and_system(self):
        """Only good for the share of each: it is counted in ticks."""
        user = system = 0
        for pid in self.tree():
            with open(f"/proc/{pid}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
            user += int(fields[11])
            system += int(fields[12])
        return user, system

    def memory_kib(self, key):
        total = 0
        for pid in self.tree():
            with open(f"/proc/{pid}/status") as status:
                total += sum(int(line.split()[1]) for line in status if line.startswith(key))
        return total

    def descriptors(self):
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.tree())

    def complain(self, what):
        self.errors.seek(0)
        sys.exit(f"{self.name}: {what}\n{self.errors.read()[-2000:]}")

    def wait_for_port(self, port):
        for _ in range(500):
            if self.child.poll() is not None:
                self.complain("ended at once")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.01)
        self.complain(f"does not listen on port {port} after five seconds")

    def stop(self):
        Process.started.remove(self)
        pids = self.tree()
        if self.child.poll() is None:
            # What has children ends them itself, when asked; with the others there is no hurry to
            # be polite.
            self.child.send_signal(signal.SIGTERM if pids[1:] else signal.SIGKILL)
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            for pid in pids[1:]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        for stream in (self.child.stdin, self.child.stdout, self.errors):
            if stream:
                stream.close()

    @staticmethod
    def stop_all():
        for process in list(Process.started):
            process.stop()


class Bench:
    """The programs, and a folder for their configurations."""

    def __init__(self, options, bins):
        self.options = options
        self.folder = tempfile.mkdtemp(prefix="ringway-compare-")
        self.bins = bins
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.connections_max = min(20_000, (soft - SPARE) // 2)
        self.idle = min(IDLE, self.connections_max)
        if self.idle < IDLE:
            print(f"only {self.idle} idle connections: {soft} open files allowed", file=sys.stderr)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def start(self, name, port, upstream):
        """Starts a server under test on `port`; `upstream` is a port, or None for echo."""
        command = getattr(self, "command_" + name.replace("-", "_").replace(" ", "_"))
        process = Process(command(port, upstream), UNDER_TEST)
        process.wait_for_port(port)
        # What it does after its start is not what is measured.
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

    def load(self, work, port, **options):
        """Runs a load against a port to its end, and gives what it reports."""
        command = [self.bins["load"], work, "--target", f"127.0.0.1:{port}"]
        done = subprocess.run(
            [*command, *flags(options)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            preexec_fn=lambda: os.sched_setaffinity(0, OTHERS),
            timeout=120,
        )
        return json.loads(done.stdout)

    def upstream(self, work, **options):
        port = free_port()
        command = [self.bins["load"], work, f"127.0.0.1:{port}", *flags(options)]
        process = Process(command, OTHERS, stdout=subprocess.PIPE)
        process.wait_for_port(port)
        return process, port


def flags(options):
    return [
        text
        for name, value in options.items()
        for text in ("--" + name.replace("_", "-"), str(value))
    ]


class Usage:
    """What a server has used between two moments."""

    def __init__(self, server):
        self.server = server
        self.cpu = server.cpu_seconds()
        self.user, self.system = server.user_and_system()

    def figures(self, units):
        server = self.server
        if server.child.poll() is not None:
            server.complain("ended under load")
        cpu = server.cpu_seconds() - self.cpu
        user, system = server.user_and_system()
        user, system = user - self.user, system - self.system
        return {
            "cpu": cpu / units,
            "user": 100 * user / max(user + system, 1),
            "rss": server.memory_kib("VmHWM:") / 1024,
        }


def build():
    """Builds all, and finds the executables."""
    bins = {}
    # Of each kind only what was asked for: benches come with a harness in the program's name.
    for option, kind in (("--bins", "bin"), ("--benches", "bench")):
        command = ["cargo", "build", "--release", "--locked", option]
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
            if message.get("executable") and kind in kinds:
                bins[message["target"]["name"]] = message["executable"]
    return bins


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


COLUMNS = {
    "throughput": None,
    "cpu": None,
    "p50": "p50, us",
    "p99": "p99, us",
    "user": "of it user, %",
    "rss": "peak RSS, MiB",
    "memory": "KiB resident per connection",
    "resident": "resident, MiB",
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

# What each subcommand of the shell script measures.
SCENARIOS = {"tcp": ["bulk", "requests", "echo", "idle"]}


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


def short(value):
    """Three digits, never as a power of ten."""
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}".rstrip(".")


def table(work, results):
    figures = list(results["ringway"])
    main = "memory" if "memory" in figures else "cpu"
    titles = [work["columns"].get(figure) or COLUMNS[figure] for figure in figures]
    head = ["", *titles, f"{'CPU' if main == 'cpu' else 'memory'}: Ringway / this", "spread"]
    rows = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for name in work["servers"]:
        values = [short(median(results, name, figure)) for figure in figures]
        all_values = results[name][main]
        spread = f"{short(min(all_values))} to {short(max(all_values))}"
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
        "is the run time of all threads of the process under test and its children, from their CPU "
        "clocks, in nanoseconds; it includes the kernel's work on their behalf. Bulk ends when the "
        "upstream has read all and closed; its count is checked. Idle memory is what is resident "
        "more than before the connections: what a server sets aside at its start is not in it, "
        "nor is the kernel's share. "
        "Ratios are medians of the rounds' own ratios. *spread* is the least and the most "
        "of the figure that the ratio is made of: it tells how noisy the machine was. `floor` is a "
        "bare io_uring loop, `floor splice` a bare splice loop (`benches/floor.rs`); `tokio` and "
        "`tokio-uring` are echo servers as one writes them (`benches/baseline.rs`).",
        "",
        f"Machine: {processor()}, {os.cpu_count()} CPUs, Linux {platform.release()}. "
        f"Peers: {version(['haproxy', '-v'])}; {version(['nginx', '-v'])}. "
        f"{options.gigabytes} GB per bulk run, {options.seconds} s per run of requests, "
        f"{bench.idle} idle connections"
        + ("" if bench.idle == IDLE else " (the limit of open files allows no more)")
        + f". The run took {seconds:.0f} s.",
        "",
        "## Targets",
        "",
        "| what | measured | target | |",
        "| --- | ---: | --- | --- |",
    ]
    for text, value, limit, reached in targets(everything):
        verdict = "reached" if reached else "**missed**"
        lines.append(f"| {text} | {value:.2f} | {limit} | {verdict} |")
    lines += ["", f"<!-- notes -->{notes()}<!-- /notes -->", ""]
    for key, work in ((key, WORKS[key]) for key in everything):
        lines += [f"## {work['title']}", "", table(work, everything[key]), ""]
    with open(PAGE, "w") as page:
        page.write("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(prog="scripts/compare.sh")
    parser.add_argument("what", choices=list(SCENARIOS))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--gigabytes", type=float, default=4.0)
    parser.add_argument("--only", choices=list(WORKS), help="one work; nothing is written")
    options = parser.parse_args()
    # Also where a shell started us with the interrupt ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("interrupted"))
    bench = Bench(options, build())
    started = time.monotonic()
    try:
        everything = {}
        for key in SCENARIOS[options.what]:
            if options.only in (None, key):
                work = WORKS[key]
                everything[key] = measure(bench, work)
                print(f"\n{work['title']}\n{table(work, everything[key])}\n", flush=True)
        if options.only is None:
            write_page(bench, everything, time.monotonic() - started)
            for text, value, limit, reached in targets(everything):
                print(f"{'reached' if reached else 'missed '}  {value:5.2f}  {limit:12}  {text}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"{os.path.basename(error.cmd[0])} failed: {error}")
    finally:
        Process.stop_all()
        shutil.rmtree(bench.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
