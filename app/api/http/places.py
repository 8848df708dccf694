"""How many requests do long work of one kind at once.

FastAPI has 40 threads for everything. Work that takes seconds has threads of its own, so that requests which read a row
of the database never wait for it.
"""

import asyncio
from collections.abc import Callable
from typing import Annotated, Literal, ParamSpec, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Depends, Request

from app.core.errors import Busy

Kind = Literal["upload", "copy", "figure", "picture", "areas", "measurement"]
PLACES: dict[Kind, int] = {"upload": 40, "copy": 4, "figure": 4, "picture": 8, "areas": 8, "measurement": 4}
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Places:
    """The places of one process, by the kind of work.

    wait_s: Longest time that a request waits for a place, in seconds.
    """

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._free = {kind: asyncio.Semaphore(number) for kind, number in PLACES.items()}

    async def run(
        self, kind: Kind, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Call `function` in a thread as soon as a place is free; raise `Busy` if none is in time."""
        try:
            async with asyncio.timeout(self._wait_s):
                await self._free[kind].acquire()
        except TimeoutError as error:
            detail = f"{PLACES[kind]} requests for work of this kind ({kind}) are being served already."
            raise Busy("too-busy", detail) from error
        try:
            return await run_sync(lambda: function(*args, **kwargs), limiter=CapacityLimiter(1))
        finally:
            self._free[kind].release()


async def _places(request: Request) -> Places:
    places: Places = request.app.state.places
    return places


Placed = Annotated[Places, Depends(_places)]
