"""An HTTP connection with limits: for the number of connections, for headers, and for clients that do not read.

They are needed because the protocol of uvicorn takes headers of any size, and waits for ever for them and for clients
that do not read what they asked for.
"""

import asyncio
import ipaddress
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.api.http.body_limits import LEAST_BYTES_PER_S
from app.api.http.problems import TITLES, ProblemResponse
from app.client import id_of_file
from app.core.errors import document
from ml.faults import Fault

MOST_CONNECTIONS = 800  # many machines allow a process 1,024 open files
MOST_OF_A_PEER = 400  # so that one client, or one proxy, leaves connections for others
RESERVE = 100  # connections beyond these, on which only /healthz is answered; others get 503
MOST_UNFINISHED_BYTES = 64 * 1024
RETRY_AFTER_S = "5"


class BoundedProtocol(HttpToolsProtocol):
    """The protocol of uvicorn, which drops a client whose headers, trailers or chunk sizes do not end.

    It also drops a client that reads less than LEAST_BYTES_PER_S of what is ready for it.
    """

    head_s = 30.0
    write_s = 30.0
    busy_head_s = 3.0  # for headers on a connection of the reserve
    _unfinished = 0
    _deadline: asyncio.TimerHandle | None = None
    _write_check: asyncio.TimerHandle | None = None
    _last = b""  # what arrived last
    _unsent = 0  # bytes that waited for the client at the last check
    _moved = False  # whether the client has read enough since then
    _peer = ""
    _answered: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._peer = _peer_of(self.client)
        of_peer = sum(1 for other in self.connections if getattr(other, "_peer", None) == self._peer)
        over = max(len(self.connections) - MOST_CONNECTIONS, of_peer - MOST_OF_A_PEER if self._peer else 0)
        if over > RESERVE:
            transport.abort()
            return
        if over > 0:
            self.app, self.head_s = _Busy(self.app), self.busy_head_s
        self._await_head()
        self._check_writes()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        if self._write_check:
            self._write_check.cancel()
        if self._answered:  # uvicorn tells only the last of several requests that were sent at once
            self._answered.disconnected = True
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def resume_writing(self) -> None:
        self._moved = True
        super().resume_writing()

    def _check_writes(self) -> None:
        """Drop the client if it has read too little since the last check, also while the connection is closing."""
        waiting = self.transport.get_write_buffer_size()
        least = min(self._unsent, LEAST_BYTES_PER_S * self.write_s)
        if self._unsent and waiting and not self._moved and self._unsent - waiting < least:
            self.transport.abort()
            return
        self._unsent, self._moved = waiting, False
        self._write_check = self.loop.call_later(self.write_s, self._check_writes)

    def data_received(self, data: bytes) -> None:
        self._unfinished += len(data)
        self._last = data[:MOST_UNFINISHED_BYTES]
        super().data_received(data)  # calls the methods below for what is complete now
        if self._unfinished > MOST_UNFINISHED_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The headers are over {MOST_UNFINISHED_BYTES} bytes.")

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no HTTP request with a problem document, and close the connection."""
        body = bytes(_malformed(msg, self._last).body)
        head = (
            "HTTP/1.1 400 Bad Request",
            f"content-type: {ProblemResponse.media_type}",
            f"content-length: {len(body)}",
            "connection: close",
        )
        self.transport.write("\r\n".join([*head, "\r\n"]).encode() + body)
        self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        self._unfinished = 0
        self._cancel_deadline()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unfinished = 0
        super().on_message_complete()

    def _await_head(self) -> None:
        self._cancel_deadline()
        self._deadline = self.loop.call_later(self.head_s, self.transport.close)

    def _cancel_deadline(self) -> None:
        if self._deadline:
            self._deadline.cancel()


def _malformed(detail: str, received: bytes) -> ProblemResponse:
    line = received.partition(b"\r\n")[0]
    hint = "Send HTTP/1.1, as every browser and library does; one of both ends may speak HTTPS."
    if not line.isascii():
        detail = "The address holds bytes that HTTP does not allow, as of a Chinese name."
        hint = "Write them in percent-encoding, like %E7%94%98 for 甘; the libraries of every language can do it."
        hint = f"{_valid_id(line)}{hint}"
    fault = Fault("malformed_request", detail, hint)
    return ProblemResponse(document(400, "malformed-request", TITLES[400], detail, [fault]).model_dump(), 400)


def _valid_id(line: bytes) -> str:
    """A sentence with an id that the resource can have, if the id in the first line of a request is not ASCII."""
    path = line.decode(errors="replace").partition(" ")[2].rpartition(" HTTP")[0].partition("?")[0]
    name = path.rpartition("/")[2]
    return "" if name.isascii() else f"Ids are ASCII, like {id_of_file(name)}; the name can be the title. "


class _Busy:
    """The application on a connection of the reserve: it answers /healthz, and refuses everything else for now."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == "/healthz":
            await self.app(scope, receive, send)
            return
        body = document(503, "too-many-connections", "Not now", "There are too many connections: try again later.")
        headers = {"Retry-After": RETRY_AFTER_S, "Connection": "close"}
        answer = ProblemResponse(body.model_copy(update={"instance": scope["path"]}).model_dump(), 503, headers)
        await answer(scope, receive, send)


def _peer_of(client: tuple[str, int] | None) -> str:
    """What connections of one client have in common: its address; of IPv6 the first half, which one client may vary."""
    try:
        address = ipaddress.ip_address(client[0] if client else "")
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and not address.ipv4_mapped:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
