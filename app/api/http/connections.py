"""An HTTP connection with limits for the size of headers and for the time that they take to arrive.

They are needed because the protocol of uvicorn takes headers of any size, and waits for them for ever.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_CONNECTIONS = 800  # many machines allow a process 1,024 open files; beyond this number uvicorn answers 503
MOST_UNFINISHED_BYTES = 64 * 1024


class BoundedProtocol(HttpToolsProtocol):
    """The protocol of uvicorn, which drops a client whose headers, trailers or chunk sizes do not end."""

    head_s = 30.0
    _unfinished = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unfinished += len(data)
        super().data_received(data)  # calls the methods below for what is complete now
        if self._unfinished > MOST_UNFINISHED_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The headers are over {MOST_UNFINISHED_BYTES} bytes.")

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
