"""Serves under the seccomp profile of the documentation, by io_uring and by epoll. See sandbox.sh."""

import contextlib
import ctypes
import http.server
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import seccomp

PROFILE = "docs/ringway-seccomp.json"
PR_SET_NO_NEW_PRIVS = 38
BODY = os.urandom(1 << 20) * 4


def load(profile):
    """Filters this process from now on, as a container runtime does."""
    ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    rules = seccomp.SyscallFilter(seccomp.ERRNO(profile["defaultErrnoRet"]))
    for entry in profile["syscalls"]:
        arguments = [seccomp.Arg(one["index"], seccomp.EQ, one["value"]) for one in entry.get("args", [])]
        for name in entry["names"]:
            # Names of other architectures are unknown here.
            with contextlib.suppress(RuntimeError):
                rules.add_rule(seccomp.ALLOW, name, *arguments)
    rules.load()


def filtered(command, profile, **options):
    return subprocess.Popen(command, preexec_fn=lambda: load(profile), text=True, **options)


def is_refused(profile):
    """What Ringway does not do is refused: a shell cannot make a namespace."""
    done = filtered(["unshare", "--user", "true"], profile, stderr=subprocess.DEVNULL)
    return done.wait() != 0


class Origin(http.server.BaseHTTPRequestHandler):
    """Who is behind the proxy."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"origin")

    def log_message(self, *_):
        pass


def configuration(folder, origin):
    return f"""
[runtime]
workers = 2
[admin]
listen = "127.0.0.1:0"
[[listener]]
name = "web"
listen = "127.0.0.1:0"
protocol = "http"
[listener.access_log]
path = "{folder}/access.log"
[[listener.route]]
path_prefix = "/files/"
files = "{folder}/www"
prefix_rewrite = "/"
listing = true
[[listener.route]]
proxy = "origin"
[[listener]]
name = "webs"
listen = "127.0.0.1:0"
protocol = "http"
[listener.tls]
certificate = "self_signed"
key = "self_signed"
[[listener.route]]
files = "{folder}/www"
[[listener]]
name = "udp"
listen = "127.0.0.1:0"
protocol = "udp_echo"
[upstream.origin]
servers = "localhost:{origin}"
"""


def fetch(url):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with urllib.request.urlopen(url, timeout=10, context=context) as answer:
        return answer.read()


def try_all(addresses):
    """A request of each kind."""
    web, webs, udp = (addresses[name] for name in ("web", "webs", "udp"))
    assert fetch(f"http://{web}/files/big") == BODY, "a file"
    assert b"big" in fetch(f"http://{web}/files/"), "a listing"
    assert fetch(f"https://{webs}/big") == BODY, "a file by TLS"
    assert fetch(f"http://{web}/") == b"origin", "an answer of a server"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        host, port = udp.rsplit(":", 1)
        client.sendto(b"hello", (host, int(port)))
        assert client.recv(100) == b"hello", "a datagram"
    assert b"ringway_driver_info" in fetch(f"http://{addresses['admin']}/metrics"), "metrics"


def serve(program, driver, profile, folder, origin):
    path = os.path.join(folder, "ringway.toml")
    with open(path, "w") as file:
        file.write(configuration(folder, origin))
    environment = {**os.environ, "RINGWAY_DRIVER": driver}
    command = [program, "serve", "--config", path]
    server = filtered(command, profile, stderr=subprocess.PIPE, env=environment)
    addresses, lines = {}, []
    for line in server.stderr:
        lines.append(line)
        told = json.loads(line)
        if told["message"].startswith("listening") or "admin" in told["message"]:
            addresses[told.get("listener", "admin")] = told.get("address", told.get("listen"))
        if told["message"] == "serving":
            break
    else:
        sys.exit(f"{driver}: it does not start:\n{''.join(lines)}")
    try:
        try_all(addresses)
        server.send_signal(signal.SIGHUP)
        server.send_signal(signal.SIGUSR1)
        time.sleep(1)
        try_all(addresses)
    finally:
        server.send_signal(signal.SIGTERM)
        rest = server.stderr.read()
    if server.wait() != 0:
        sys.exit(f"{driver}: status {server.returncode}:\n{rest}")
    wrong = [line for line in lines + rest.splitlines() if re.search(r'"level":"(WARN|ERROR)"', line)]
    if wrong:
        sys.exit(f"{driver}: {wrong}")
    print(f"{driver}: served under {PROFILE}")


def main():
    program = sys.argv[1]
    with open(PROFILE) as file:
        profile = json.load(file)
    if not is_refused(profile):
        sys.exit("the profile refuses nothing")
    origin = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    for driver in ("uring", "epoll"):
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(os.path.join(folder, "www"))
            with open(os.path.join(folder, "www", "big"), "wb") as file:
                file.write(BODY)
            serve(program, driver, profile, folder, origin.server_port)


if __name__ == "__main__":
    main()
