"""Calls of a foreign client to a foreign server, through Ringway that is reloaded and replaced.

Called by grpc_peers.sh with the program and, perhaps, numbers of reloads and of drains.
"""

import concurrent.futures
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import grpc

SERVICE = "check.v1.Echo"
CLIENTS = 4
MESSAGES = 40


def same(message):
    return message


class Echo(grpc.GenericRpcHandler):
    """A unary method and one of streams; messages are bytes."""

    def service(self, details):
        if details.method == f"/{SERVICE}/Unary":
            return grpc.unary_unary_rpc_method_handler(lambda message, _: message)
        if details.method == f"/{SERVICE}/Stream":
            return grpc.stream_stream_rpc_method_handler(self.stream)
        if details.method == f"/{SERVICE}/Fails":
            return grpc.unary_unary_rpc_method_handler(self.fails)
        return None

    @staticmethod
    def stream(messages, _context):
        yield from messages

    @staticmethod
    def fails(_message, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now: grün")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Proxy:
    """Processes of Ringway on one address, one after the other."""

    def __init__(self, program, file, upstream):
        self.program, self.port = program, free_port()
        self.file = file
        self.upstream, self.turn, self.running = upstream, 0, None
        self.write()

    def write(self):
        self.turn += 1
        self.file.write_text(
            f"""[runtime]
workers = 1
shutdown_timeout = "30s"
[admin]
enabled = false
[log]
level = "warn"
[[listener]]
name = "calls"
listen = "127.0.0.1:{self.port}"
protocol = "http"
[[listener.route]]
path_prefix = "/{SERVICE}/"
response_headers = {{ set = {{ x-turn = "{self.turn}" }} }}
proxy = "echo"
[upstream.echo]
servers = ["127.0.0.1:{self.upstream}"]
protocol = "http2"
"""
        )

    def start(self):
        self.running = subprocess.Popen([self.program, "serve", "-c", str(self.file)])
        until = time.monotonic() + 20
        while time.monotonic() < until and self.running.poll() is None:
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise SystemExit("ringway did not start")

    def drain(self):
        """The process ends once it has answered all, and another one takes its place."""
        self.running.send_signal(signal.SIGTERM)
        if self.running.wait(60) != 0:
            raise SystemExit(f"a drained process ended with {self.running.returncode}")
        self.start()

    def end(self):
        if self.running:
            self.running.kill()
            self.running.wait()

    def reload(self):
        self.write()
        self.running.send_signal(signal.SIGHUP)


class Client(threading.Thread):
    """Calls, one after the other, until it is told to stop."""

    def __init__(self, ports, number):
        super().__init__()
        # Without the first one, channels to one address share a connection.
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.lb_policy_name", "round_robin"),
            ("grpc.default_authority", "calls.example"),
            # A process that is there again is found before the other one ends.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 200),
        ]
        target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
        self.channel = grpc.insecure_channel(target, options)
        self.unary = self.channel.unary_unary(f"/{SERVICE}/Unary", same, same)
        self.stream = self.channel.stream_stream(f"/{SERVICE}/Stream", same, same)
        self.number, self.calls, self.failed, self.stopping = number, 0, [], False

    def run(self):
        while not self.stopping:
            try:
                if self.number % 2:
                    self.call()
                else:
                    self.talk()
            except (grpc.RpcError, AssertionError) as error:
                self.failed.append(str(error))
            self.calls += 1
        self.channel.close()

    def call(self):
        message = bytes(f"{self.number}/{self.calls}", "ascii") * 50
        assert self.unary(message, timeout=20) == message, "another's answer"

    def talk(self):
        sent = [bytes(f"{self.number}/{self.calls}/{at}", "ascii") for at in range(MESSAGES)]

        def slowly():
            for message in sent:
                yield message
                time.sleep(0.002)

        assert list(self.stream(slowly(), timeout=20)) == sent, "another's messages"


def check_statuses(port):
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for method, code, text in [
            (f"/{SERVICE}/Fails", grpc.StatusCode.FAILED_PRECONDITION, "not now: grün"),
            (f"/{SERVICE}/Missing", grpc.StatusCode.UNIMPLEMENTED, None),
            ("/no.such.Service/Method", grpc.StatusCode.UNIMPLEMENTED, None),
        ]:
            try:
                channel.unary_unary(method, same, same)(b"x", timeout=10)
                raise SystemExit(f"{method} succeeded")
            except grpc.RpcError as error:
                if error.code() != code or text and error.details() != text:
                    raise SystemExit(f"{method}: {error}") from error


def main(program, reloads=20, drains=5):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(32))
    server.add_generic_rpc_handlers([Echo()])
    upstream = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with tempfile.TemporaryDirectory() as folder:
        # While one of them ends, the other one takes the calls.
        files = [pathlib.Path(folder) / f"{name}.toml" for name in "ab"]
        proxies = [Proxy(program, file, upstream) for file in files]
        try:
            for proxy in proxies:
                proxy.start()
                check_statuses(proxy.port)
            clients = [Client([one.port for one in proxies], at) for at in range(CLIENTS)]
            for client in clients:
                client.start()
            for turn in range(int(reloads)):
                time.sleep(0.2)
                proxies[turn % 2].reload()
            for turn in range(int(drains)):
                time.sleep(1)
                proxies[turn % 2].drain()
            for client in clients:
                client.stopping = True
            for client in clients:
                client.join()
        finally:
            for proxy in proxies:
                proxy.end()
    server.stop(0)
    calls = sum(client.calls for client in clients)
    failed = [error for client in clients for error in client.failed]
    print(f"{calls} calls, {reloads} reloads, {drains} drains, {len(failed)} failed")
    if failed or calls < 100:
        raise SystemExit("\n".join(failed[:5]) or "too few calls")


if __name__ == "__main__":
    main(*sys.argv[1:])
