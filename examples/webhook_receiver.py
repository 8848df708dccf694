"""Receives the messages of a webhook, with nothing but the standard library.

    CANEMAP_WEBHOOK_SECRET=whsec_... python examples/webhook_receiver.py [PORT]

It prints a line for each event. Put it behind your web server, which has the certificate for https. `verify` is all
that a receiver in another program needs; the packages of Standard Webhooks have the same for many languages.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Mapping
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

TOLERANCE_S = 300  # the clocks of sender and receiver differ by this at most
MOST_BYTES = 1_000_000
REMEMBERED = 10_000  # ids of events; a portal keeps them in its database


class Refused(Exception):
    """This is no message of the service, or not a new one."""


def verify(secret: str, headers: Mapping[str, str] | Message, body: bytes) -> Any:
    """The message in `body`, if it was signed with `secret` just now. Raises `Refused`."""
    id_, timestamp, signatures = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not (timestamp.isdecimal() and abs(time.time() - int(timestamp)) <= TOLERANCE_S):
        raise Refused("The time of the message is missing, or too long ago.")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{id_}.{timestamp}.".encode() + body, hashlib.sha256)
    right = "v1," + base64.b64encode(digest).decode()
    # there are two signatures for some time after the secret was changed
    if not any(hmac.compare_digest(right.encode(), each.encode()) for each in signatures.split()):
        raise Refused("The signature is wrong.")
    return json.loads(body)


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 once a message is safe, so that it is not sent again, and 400 to whatever is no message."""

    secret = os.environ.get("CANEMAP_WEBHOOK_SECRET", "")
    seen: ClassVar[OrderedDict[str, None]] = OrderedDict()
    timeout = 10

    def do_POST(self) -> None:
        """Receive a message."""
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            self._answer(413)
            return
        try:
            message = verify(self.secret, self.headers, self.rfile.read(int(length)))
        except Refused as refused:
            print(f"refused: {refused}", flush=True)
            self._answer(400)
            return
        self._handle(self.headers["webhook-id"], message)
        self._answer(204)

    def _handle(self, id_: str, message: Any) -> None:
        """Do what the event asks for. A message may come twice, with the same id: the second one is ignored."""
        if id_ in self.seen:
            return
        self.seen[id_] = None
        if len(self.seen) > REMEMBERED:
            self.seen.popitem(last=False)
        data = message["data"]
        print(message["type"], data.get("jobID", ""), *(link["href"] for link in data.get("links", ())), flush=True)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing but events."""


def main(port: int = 8900) -> None:
    """Receive messages on the loopback until Ctrl-C."""
    if not Receiver.secret.startswith("whsec_"):
        sys.exit("Set CANEMAP_WEBHOOK_SECRET to the secret that `canemap webhooks create` has printed.")
    with ThreadingHTTPServer(("127.0.0.1", port), Receiver) as server:
        print(f"receiving on http://127.0.0.1:{server.server_address[1]}/", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
