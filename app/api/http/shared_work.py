"""Work that several requests wait for, and that goes on when they give up."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request

from app.api.http.places import Places
from app.core import tenancy
from app.core.errors import Busy

WAIT_S = 20.0  # shorter than proxies wait


class SharedWork:
    """Work in progress in this process, each piece under a key. A second request for it waits for the same piece."""

    def __init__(self) -> None:
        self._tasks: dict[tuple[str, ...], asyncio.Task[None]] = {}

    async def finished(
        self, key: tuple[str, ...], start: Callable[[], Coroutine[Any, Any, None]], wait_s: float = WAIT_S
    ) -> None:
        """Wait until the work under `key` has ended, which `start` begins if nobody has.

        Raises what the work raises, or `Busy` if it takes longer than `wait_s`: it goes on, so ask again.
        """
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(start())
            task.add_done_callback(lambda ended: self._forget(key, ended))
        ended, _ = await asyncio.wait([task], timeout=wait_s)
        if not ended:
            raise Busy("being-measured", "This is being measured, which takes a while. Ask again in a moment.")
        task.result()

    def _forget(self, key: tuple[str, ...], ended: asyncio.Task[None]) -> None:
        del self._tasks[key]
        if not ended.cancelled():
            ended.exception()  # if nobody waits any more, nobody asks for it


async def once_for_all(
    request: Request, places: Places, key: tuple[str, ...], measure: Callable[..., None], *arguments: Any
) -> None:
    """Measure something once for all requests of a tenant that ask for it at this moment. Raises `Busy`."""
    shared: SharedWork = request.app.state.shared_work
    await shared.finished((tenancy.current(), *key), lambda: places.run("measurement", measure, *arguments))
