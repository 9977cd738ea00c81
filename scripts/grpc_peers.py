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

    def __init__(self, program, folder, upstream):
        self.program, self.port = program, free_port()
        self.file = folder / "ringway.toml"
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
        """Starts a process beside the present one, which ends once it has answered all."""
        before = self.running
        self.running = subprocess.Popen([self.program, "serve", "-c", str(self.file)])
        self.await_start()
        if before:
            before.send_signal(signal.SIGTERM)
            if before.wait(60) != 0:
                raise SystemExit(f"a drained process ended with {before.returncode}")

    def await_start(self):
        # Both listen: only the new one's own lines could tell them apart.
        time.sleep(0.5)
        if self.running.poll() is not None:
            raise SystemExit("ringway did not start")

    def reload(self):
        self.write()
        self.running.send_signal(signal.SIGHUP)


class Client(threading.Thread):
    """Calls, one after the other, until it is told to stop."""

    def __init__(self, port, number):
        super().__init__()
        # Without this, channels to one address share a connection.
        options = [("grpc.use_local_subchannel_pool", 1)]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options)
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
        proxy = Proxy(program, pathlib.Path(folder), upstream)
        try:
            proxy.start()
            check_statuses(proxy.port)
            clients = [Client(proxy.port, number) for number in range(CLIENTS)]
            for client in clients:
                client.start()
            for _ in range(int(reloads)):
                time.sleep(0.2)
                proxy.reload()
            for _ in range(int(drains)):
                time.sleep(0.5)
                proxy.start()
            for client in clients:
                client.stopping = True
            for client in clients:
                client.join()
        finally:
            if proxy.running:
                proxy.running.kill()
                proxy.running.wait()
    server.stop(0)
    calls = sum(client.calls for client in clients)
    failed = [error for client in clients for error in client.failed]
    print(f"{calls} calls, {reloads} reloads, {drains} drains, {len(failed)} failed")
    if failed or calls < 100:
        raise SystemExit("\n".join(failed[:5]) or "too few calls")


if __name__ == "__main__":
    main(*sys.argv[1:])
