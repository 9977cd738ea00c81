"""Reloads a large configuration while requests come: see scripts/reload.sh."""

import argparse
import http.client
import json
import re
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

TOKEN = "a-token-for-this-measurement-only"
ADMIN, WEB, INNER = 19801, 19802, 19803


def configuration(round_, routes, servers):
    """A configuration whose routes and servers are others in each round."""
    text = [
        "[runtime]\nworkers = 1\n",
        f'[admin]\nlisten = "127.0.0.1:{ADMIN}"\ntoken_file = "tokens"\n',
        f'[[listener]]\nname = "inner"\nlisten = "127.0.0.1:{INNER}"\nprotocol = "http"\n',
        '[[listener.route]]\nrespond = "hello"\n',
        f'[[listener]]\nname = "web"\nlisten = "127.0.0.1:{WEB}"\nprotocol = "http"\n',
        '[[listener.route]]\npath = "/fixed"\nrespond = "hello"\n',
        '[[listener.route]]\npath = "/proxied"\nproxy = "u"\n',
    ]
    for number in range(routes):
        path = number + round_ % 2
        text.append(f'[[listener.route]]\nname = "r{number}"\npath = "/r/{path}"\nrespond = "r"\n')
    # One server answers; the others are of a later priority, and are never asked.
    first = f'{{ address = "127.0.0.1:{INNER}", weight = {1 + round_ % 2} }}'
    spare = (f'{{ address = "127.1.{n // 250}.{1 + n % 250}:{INNER}", weight = 1, priority = 1 }}'
             for n in range(servers - 1))
    text.append(f'[upstream.u]\nservers = [{", ".join([first, *spare])}]\n')
    return "".join(text)


def ask(path, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", ADMIN, timeout=30)
    connection.request(method, path, headers={"authorization": f"Bearer {TOKEN}"})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def longest_turn():
    _, text = ask("/metrics")
    found = re.findall(r'^ringway_loop_turn_longest_seconds\{[^}]*\} (\S+)', text, re.M)
    return max(float(one) for one in found)


def paced(path, seconds, rate, folder):
    """The same of so many requests a second in all, on ten connections, as h2load sends them."""
    log = folder / "requests"
    log.unlink(missing_ok=True)
    command = ["h2load", "--h1", "-t1", "-c10", f"-D{seconds}", f"--rps={rate / 10}",
               f"--log-file={log}", f"http://127.0.0.1:{WEB}{path}"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t") for line in log.read_text().splitlines()]
    times = sorted(int(row[2]) / 1e3 for row in rows)
    failed = sum(row[1] != "200" for row in rows)
    failed += sum(int(one) for one in re.findall(r"(\d+) (?:failed|errored|timeout)", out))
    at = lambda share: times[min(len(times) - 1, int(len(times) * share))]
    return len(times) / seconds, at(0.5), at(0.99), failed or "none"


def load(path, seconds):
    """What wrk says: requests a second, p50 and p99 in milliseconds, errors."""
    out = subprocess.run(
        ["wrk", "-t1", "-c64", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{WEB}{path}"],
        capture_output=True, text=True, check=True).stdout
    def time_of(name):
        value, unit = re.search(rf"{name}%\s+([\d.]+)(us|ms|s)", out).groups()
        return float(value) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]
    errors = re.findall(r"Socket errors: (.*)|Non-2xx or 3xx responses: (\d+)", out)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
    return rate, time_of(50), time_of(99), errors or "none"


class Reloads(threading.Thread):
    """One reload after the other, until it is stopped."""

    def __init__(self, folder, options):
        super().__init__()
        self.folder, self.options = folder, options
        self.times, self.errors, self.stopped = [], [], threading.Event()

    def run(self):
        texts = [configuration(n, self.options.routes, self.options.servers) for n in range(2)]
        number = 0
        while not self.stopped.wait(self.options.every):
            number += 1
            new = self.folder / "new.toml"
            new.write_text(texts[number % 2])
            new.rename(self.folder / "ringway.toml")
            status, body = ask("/reload", "POST")
            if status == 200:
                self.times.append(json.loads(body)["seconds"])
            else:
                self.errors.append(body)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--every", type=float, default=0.1)
    parser.add_argument("--rate", type=int)
    parser.add_argument("--routes", type=int, default=10_000)
    parser.add_argument("--servers", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tokens").write_text(TOKEN + "\n")
        (folder / "ringway.toml").write_text(configuration(0, options.routes, options.servers))
        with (folder / "log").open("w") as log:
            server = subprocess.Popen(
                [options.program, "serve", "--config", folder / "ringway.toml"], stderr=log)
            try:
                measure(folder, options)
            finally:
                server.terminate()
                server.wait()


def measure(folder, options):
    for _ in range(100):
        try:
            ask("/healthz")
            break
        except OSError:
            time.sleep(0.1)
    print(f"{options.routes} routes, {options.servers} servers, a reload every {options.every} s")
    print("| work | reloads | requests/s | p50 ms | p99 ms | failed | longest turn ms |")
    print("| --- | ---: | ---: | ---: | ---: | --- | ---: |")
    times = []
    for path in ["/fixed", "/proxied"]:
        for with_reloads in [False, True]:
            reloads = Reloads(folder, options) if with_reloads else None
            if reloads:
                reloads.start()
            if options.rate:
                rate, p50, p99, errors = paced(path, options.seconds, options.rate, folder)
            else:
                rate, p50, p99, errors = load(path, options.seconds)
            if reloads:
                reloads.stopped.set()
                reloads.join()
                times += reloads.times
                errors = errors if not reloads.errors else (errors, reloads.errors[:1])
            count = len(reloads.times) if reloads else 0
            turn = longest_turn() * 1e3
            print(f"| {path[1:]} | {count} | {rate:.0f} | {p50:.2f} | {p99:.2f} | {errors} "
                  f"| {turn:.2f} |", flush=True)
    print(f"a reload takes {statistics.median(times):.3f} s in the median, "
          f"{max(times):.3f} s at most, of {len(times)}")


main()
