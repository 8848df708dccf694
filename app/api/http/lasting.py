"""Requests that last: a key that is revoked, or expires, while one goes on ends it within some seconds."""

import time

from anyio.to_thread import run_sync
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Message, Receive, Scope, Send

from app.access.keyring import TRUSTED_S, Keyring
from app.access.scopes import Refused


class Lasting:
    """Both ends of a request that shows a key. They ask now and then whether the key is still valid.

    Before more of a body is taken, and before more is sent to who reads, they raise `Refused` if it is not. What else
    was changed is answered as ever, because it was changed. answered: Whether the answer has begun. ended: What
    they have raised.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, key_id: str) -> None:
        self.scope, self.inner_receive, self.inner_send, self.key_id = scope, receive, send, key_id
        self.answered = False
        self._reads = scope["method"] in ("GET", "HEAD")
        self.ended: Refused | None = None
        self._next = time.monotonic() + TRUSTED_S

    async def receive(self) -> Message:
        """The next message of the client."""
        message = await self.inner_receive()
        if message["type"] == "http.request":
            await self._check()
        return message

    async def send(self, message: Message) -> None:
        """Send a message to the client."""
        if self._reads or self.ended:
            await self._check()
        self.answered = True
        await self.inner_send(message)

    async def _check(self) -> None:
        if self.ended:
            raise self.ended
        if time.monotonic() < self._next:
            return
        keyring: Keyring = self.scope["app"].state.keyring
        try:
            await run_sync(keyring.check, self.key_id)
        except Refused as error:
            self.ended = error
            raise
        except SQLAlchemyError:
            pass  # the database is out of reach: what was let in goes on, and is asked for again
        self._next = time.monotonic() + TRUSTED_S
