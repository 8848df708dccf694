"""Receivers of webhooks on the loopback: real HTTP servers that answer as a test says."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LOOPBACK = "127.0.0.0/8"  # for CANEMAP_WEBHOOK_NETWORKS
Behaviour = Callable[["Handler"], None]


@dataclass(frozen=True)
class Received:
    """One request. headers: By their names in lower case."""

    path: str
    headers: dict[str, str]
    body: str

    @property
    def id(self) -> str:
        """The id of the event."""
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    """A receiver. behaviours: What it does with each request in turn; the last one with all that follow."""

    port: int
    behaviours: list[Behaviour]
    received: list[Received] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)  # set at the end: nobody hangs any longer

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}/hooks?for=canemap"

    def wait_for(self, count: int, seconds: float = 20) -> list[Received]:
        """What was received, once there are `count` requests."""
        wait_until(lambda: len(self.received) >= count, seconds)
        return self.received


class Handler(BaseHTTPRequestHandler):
    """Keeps a request, and answers it as the receiver behaves."""

    server: "Server"

    def do_POST(self) -> None:
        """Receive a message."""
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        receiver = self.server.receiver
        headers = {name.lower(): value for name, value in self.headers.items()}
        behaviour = receiver.behaviours.pop(0) if len(receiver.behaviours) > 1 else receiver.behaviours[0]
        receiver.received.append(Received(self.path, headers, body))
        behaviour(self)

    def log_message(self, *_: Any) -> None:
        """Be silent."""


class Server(ThreadingHTTPServer):
    """A server whose handlers know the receiver."""

    daemon_threads = True
    receiver: Receiver

    def handle_error(self, *_: Any) -> None:
        """Be silent about clients that went away."""


def answer(status: int, **headers: str) -> Behaviour:
    """Answer with a status."""

    def behave(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return behave


def hang(handler: Handler) -> None:
    """Never answer."""
    handler.server.receiver.over.wait(60)


def drip(handler: Handler) -> None:
    """Send a header that never ends, a byte now and then."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not handler.server.receiver.over.wait(0.05):
        handler.wfile.write(b"x")


def flood(handler: Handler) -> None:
    """Answer 200 with a body that never ends."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while not handler.server.receiver.over.is_set():
        handler.wfile.write(b"x" * 65536)


def endless_headers(handler: Handler) -> None:
    """Answer with headers that never end, as fast as possible."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not handler.server.receiver.over.is_set():
        handler.wfile.write(b"X-More: " + b"y" * 8000 + b"\r\n")


def hang_up(handler: Handler) -> None:
    """Close the connection without an answer."""
    handler.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def receiving(*behaviours: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver that behaves so; by default it accepts every message."""
    with Server(("127.0.0.1", 0), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        server.receiver = Receiver(server.server_address[1], list(behaviours or (answer(204),)))
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.receiver
        finally:
            server.receiver.over.set()
            server.shutdown()
            thread.join()


def wait_until(happened: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something has happened. Raises AssertionError if it does not."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
