"""What all scenarios share: processes and what they use, loads."""

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

UNDER_TEST, OTHERS = {0}, {1}
# Descriptors of a server beside those of connections.
SPARE = 500


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def certificate(folder):
    """A certificate of this machine: the files of it, of its key, and of both."""
    chain, key, both = (os.path.join(folder, name) for name in ("server.pem", "server.key", "both.pem"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        + ["-keyout", key, "-out", chain, "-days", "30", "-subj", "/CN=localhost"]
        + ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True,
        capture_output=True,
    )
    with open(both, "w") as file:
        for name in (chain, key):
            with open(name) as part:
                file.write(part.read())
    return chain, key, both


class Process:
    """A child on given CPUs, and what it and its children have used.

    An idle one (`is_idle`, SCHED_IDLE) has its CPU when no other wants it.
    """

    started = []

    def __init__(self, command, cpus, stdin=None, stdout=subprocess.DEVNULL, is_idle=False):
        def place():
            os.sched_setaffinity(0, cpus)
            if is_idle:
                os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))

        self.name = os.path.basename(command[0])
        # What is behind a proxy, where what that uses counts.
        self.upstream = None
        self.errors = tempfile.TemporaryFile("w+")
        self.child = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=self.errors,
            text=True,
            preexec_fn=place,
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

    def wait_until(self, answers):
        """For what has no listening port that could be tried: `answers` tries and tells."""
        deadline = time.monotonic() + 5
        while not answers():
            if self.child.poll() is not None:
                self.complain("ended at once")
            if time.monotonic() > deadline:
                self.complain("does not answer after five seconds")

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
    """The programs, and a folder for their configurations.

    A scenario derives its own, with a method `command_NAME(port, upstream)` for each server, and
    `method`, `peers` and `extent` for the page: how it measures, versions, and how much was measured.
    """

    def __init__(self, options, bins):
        self.options = options
        self.driver = "uring"
        self.folder = tempfile.mkdtemp(prefix="ringway-compare-")
        self.bins = bins

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def command(self, name, port, upstream):
        command = getattr(self, "command_" + name.replace("-", "_").replace(" ", "_"))
        return command(port, upstream)

    def command_ringway_epoll(self, port, upstream):
        """The same without io_uring."""
        self.driver = "epoll"
        try:
            return self.command_ringway(port, upstream)
        finally:
            self.driver = "uring"

    def start(self, name, port, upstream):
        """Starts a server under test on `port`; `upstream` is a port, or None for echo."""
        process = Process(self.command(name, port, upstream), UNDER_TEST)
        self.await_ready(process, port)
        # What it does after its start is not what is measured.
        time.sleep(0.2)
        return process

    def await_ready(self, process, port):
        process.wait_for_port(port)

    @contextlib.contextmanager
    def serving(self, name, upstream=None):
        """A server under test that runs, and its port."""
        port = free_port()
        with running(self.start(name, port, upstream)) as server:
            yield server, port

    @contextlib.contextmanager
    def behind(self, command):
        """A server behind a proxy, on the CPU of the load; gives its port. `command` makes one from a port."""
        port = free_port()
        with running(Process(command(port, None), OTHERS)) as upstream:
            self.await_ready(upstream, port)
            yield upstream, port

    def ringway(self, port, listener, upstream, more=""):
        """The command of a Ringway with a listener, whose further keys are `listener`; `more` comes last."""
        text = f"""
[runtime]
workers = 1
pin = false
driver = "{self.driver}"
[admin]
enabled = false
[[listener]]
name = "t"
listen = "127.0.0.1:{port}"
{listener}
"""
        if upstream is not None:
            text += f'upstream = "u"\n[upstream.u]\nservers = ["127.0.0.1:{upstream}"]\n'
        return [self.bins["ringway"], "serve", "--config", self.write(f"{port}.toml", text + more)]

    def load(self, work, port, *switches, **options):
        """Runs a load against a port to its end, and gives what it reports.

        Besides: what it has `used` of its core, in seconds, of how many that it has `taken`.
        """
        target = ["--target", f"127.0.0.1:{port}"]
        output, spent = run_load([self.bins["load"], work, *target, *switches, *flags(options)])
        return {**json.loads(output), **spent}

    def upstream(self, work, is_idle=False, **options):
        port = free_port()
        command = [self.bins["load"], work, f"127.0.0.1:{port}", *flags(options)]
        process = Process(command, OTHERS, stdout=subprocess.PIPE, is_idle=is_idle)
        process.wait_for_port(port)
        return process, port


@contextlib.contextmanager
def running(process):
    """Stops a process in the end."""
    try:
        yield process
    finally:
        process.stop()


def run_load(command, statuses=(0,)):
    """What a load printed, and what it has used of the seconds that it has taken."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, OTHERS),
        timeout=120,
    )
    if done.returncode not in statuses:
        raise subprocess.CalledProcessError(done.returncode, command)
    taken = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout, {"used": used, "taken": taken}


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

    def cores(self, load, upstream=None):
        """How busy the two cores were while a load ran, in percent: whose limit is it?"""
        used = load["used"] + (upstream.server.cpu_seconds() - upstream.cpu if upstream else 0)
        own = self.server.cpu_seconds() - self.cpu
        return {
            "core": 100 * own / load["taken"],
            "others": 100 * used / load["taken"],
        }

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


def in_turn(bench, work, names, label, run):
    """All rounds of a work, the servers in turn, each by `run(name)`: {server: {figure: [values]}}."""
    found = {name: {} for name in names}
    for number in range(work.get("runs", bench.options.runs)):
        for name in names:
            print(f"  {work['title']}: {label} {number + 1}, {name}", file=sys.stderr, flush=True)
            for figure, value in run(name).items():
                found[name].setdefault(figure, []).append(value)
    return found
