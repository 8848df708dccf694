"""Room for a file that is arriving: it is reserved before its bytes are read, if the tenant has a limit for them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from anyio import CancelScope
from fastapi import Request
from starlette.concurrency import run_in_threadpool

from app.access import reservations
from app.access.meter import Meter
from app.core import tenancy
from app.services import Services

STEP_BYTES = 32 * 1024**2  # reserved at once for a body whose length is not announced
RENEW_S = 60.0
KEEP = timedelta(minutes=15)  # of a file whose process may have died; it is longer than any inspection
KEEP_UPLOAD = timedelta(days=1, hours=2)  # the beginning of an upload is deleted a day after its last byte


class Room:
    """The room that is reserved for one file. name: Of the reservation. keep: For how long it holds if not renewed."""

    def __init__(self, services: Services, name: str, keep: timedelta, *, limited: bool) -> None:
        self.services, self.name, self.keep, self.limited = services, name, keep, limited
        self.reserved, self.renewed = 0, 0.0

    async def cover(self, size: int, *, announced: bool = False) -> None:
        """Reserve room for a file of `size` bytes, and for some more unless the whole size was announced.

        Raises `StorageFull` or `NeverFits`.
        """
        moment = asyncio.get_running_loop().time()
        if not self.limited or (size <= self.reserved and moment - self.renewed < RENEW_S):
            return
        wanted = max(self.reserved, size if announced else size + STEP_BYTES)
        self.reserved = await run_in_threadpool(
            reservations.reserve,
            self.services.database,
            self.services.settings,
            self.name,
            needed=max(size, self.reserved),
            wanted=wanted,
            keep=self.keep,
        )
        self.renewed = moment

    async def settle(self, size: int) -> None:
        """Keep room for the `size` bytes that have arrived and no more."""
        if self.reserved > size:
            with CancelScope(shield=True):
                await run_in_threadpool(reservations.settle, self.services.database, self.name, size)

    async def give_back(self) -> None:
        """Reserve nothing more: the file is gone, or a row names it."""
        if self.limited:
            with CancelScope(shield=True):
                await run_in_threadpool(reservations.release, self.services.database, self.name)


def room_of(request: Request, services: Services, name: str, keep: timedelta = KEEP) -> Room:
    """The room for a file that the sender of `request` sends. name: Of the file beside the store."""
    meter: Meter = request.app.state.meter
    return Room(services, name, keep, limited=bool(meter.limits_of(tenancy.current()).stored_bytes))


def room_of_upload(request: Request, services: Services, id_: str) -> Room:
    """The room for an upload in pieces."""
    return room_of(request, services, reservations.name_of_upload(id_), KEEP_UPLOAD)


@asynccontextmanager
async def given_back(room: Room) -> AsyncIterator[Room]:
    """Give the room back after the block."""
    try:
        yield room
    finally:
        await room.give_back()
