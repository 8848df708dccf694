"""The receiver of a portal: it is told of each end of a job by a webhook, and often refuses, hangs or hangs up."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random

from benchmarks.soak.history import Told
from examples.webhook_receiver import verify

REFUSED, HANGING, HUNG_UP = 0.1, 0.02, 0.02  # shares of the messages that the receiver does not take
HANGS_S = 6.0  # longer than the service waits


@dataclass
class Receiver:
    """What a receiver was told. told: Messages that it took, in order. requests: Number of all, also those refused."""

    url: str
    random: Random
    secret: str = ""
    told: list[Told] = field(default_factory=list)
    requests: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request: take it, which is what a 204 says, or not."""
        body = request.rfile.read(int(request.headers["content-length"]))
        with self._lock:
            self.requests += 1
            chance = self.random.random()
        if chance < HANGING:
            time.sleep(HANGS_S)
        if chance < HANGING + HUNG_UP:
            request.close_connection = True
            return
        if chance < HANGING + HUNG_UP + REFUSED:
            request.send_error(500)
            return
        message = verify(self.secret, request.headers, body)
        told = Told(time.time(), message["data"]["jobID"], message["data"]["status"], request.headers["webhook-id"])
        with self._lock:
            self.told.append(told)
        request.send_response(204)
        request.end_headers()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing: senders are killed all the time. A signature that is wrong shows as a message that is lost."""


@contextmanager
def receiving(seed: int) -> Iterator[Receiver]:
    """A receiver on the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.take(self)

        def log_message(self, *_: object) -> None:
            pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}/", Random(seed))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
