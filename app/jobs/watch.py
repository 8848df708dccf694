"""Tells requests that wait for jobs which of them have changed: one query in `POLL_S` asks for all of them.

Each request that asked the database by itself would cost as much as one that is sent four times a second, and a key may
have 50 that wait.
"""

import asyncio
from collections.abc import Sequence
from contextvars import Context

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from sqlalchemy import select

from app.core import tenancy
from app.core.db import Database
from app.tables import Job

POLL_S = 0.25


class Watch:
    """The jobs that requests of one process wait for. Only its event loop uses it; it asks nobody while none waits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, dict[asyncio.Future[None], int]] = {}  # revisions that are known, by id of the job
        self._rounds: asyncio.Task[None] | None = None

    async def changed(self, job_id: str, revision: int, seconds: float | None = None) -> bool:
        """Wait until a job of the current scope has another revision than `revision`, or is gone.

        Returns whether it has, after `seconds` at the latest. Raises what the database raises.
        """
        id_, change = tenancy.whole(job_id), asyncio.get_running_loop().create_future()
        self._waiting.setdefault(id_, {})[change] = revision
        if self._rounds is None or self._rounds.done():  # in the scope of no request, nor in the trace of one
            self._rounds = asyncio.create_task(self._ask_in_rounds(), context=Context())
        try:
            await asyncio.wait([change], timeout=seconds)
        finally:
            del self._waiting[id_][change]
            if not self._waiting[id_]:
                del self._waiting[id_]
            change.cancel()
        if change.cancelled():
            return False
        change.result()
        return True

    async def _ask_in_rounds(self) -> None:
        while self._waiting:
            await asyncio.sleep(POLL_S)
            asked = tuple(self._waiting)
            try:  # in a thread of its own: those of the pool may all be at work
                found = await run_sync(self._revisions, asked, limiter=CapacityLimiter(1))
            except Exception as error:  # each of those who wait answers it
                self._tell(asked, error)
                continue
            for id_ in asked:
                self._tell_change(id_, found.get(id_))

    def _revisions(self, ids: Sequence[str]) -> dict[str, int]:
        with tenancy.acting_for(tenancy.ALL), self._database.read() as session:
            rows = session.execute(select(Job.id, Job.revision).where(Job.id.in_(ids)))
            return {row.id: row.revision for row in rows}

    def _tell(self, ids: Sequence[str], error: Exception) -> None:
        for change in [change for id_ in ids for change in self._waiting.get(id_, ())]:
            if not change.done():
                change.set_exception(error)

    def _tell_change(self, id_: str, revision: int | None) -> None:
        for change, known in self._waiting.get(id_, {}).items():
            if revision != known and not change.done():
                change.set_result(None)
