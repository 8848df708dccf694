"""Requests that wait for jobs share one query, and each learns of the change of its own job."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from app.access import tenants
from app.core import tenancy
from app.jobs import lifecycle
from app.jobs.watch import POLL_S
from app.services import Services


def queue(services: Services, tenant: str, id_: str) -> None:
    with tenancy.acting_for(tenancy.ALL), services.database.write() as session:
        tenants.ensure(session, tenant)
    with tenancy.acting_for(tenant), services.database.write() as session:
        lifecycle.create(session, id_, "training")


async def waited(services: Services, tenant: str, id_: str, seconds: float | None, revision: int = 1) -> bool:
    with tenancy.acting_for(tenant):
        return await services.watch.changed(id_, revision, seconds)


def dismiss(services: Services, tenant: str, id_: str) -> None:
    with tenancy.acting_for(tenant), services.database.write() as session:
        lifecycle.dismiss(session, id_)


@contextmanager
def statements(services: Services) -> Iterator[list[str]]:
    """The texts of all queries of jobs."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, text: str, *_more: object) -> None:
        if "FROM jobs" in text:
            sent.append(text)

    event.listen(services.database.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(services.database.engine, "before_cursor_execute", note)


def test_a_change_is_told_to_those_who_wait_for_that_job_of_that_tenant(services: Services) -> None:
    for tenant in ("local", "nanning", "wuming"):
        queue(services, tenant, "trn_0")

    async def all_of_them() -> list[bool]:
        waiting = [
            asyncio.create_task(waited(services, tenant, "trn_0", seconds))
            for tenant, seconds in (("local", 3 * POLL_S), ("nanning", None), ("nanning", 60), ("wuming", 3 * POLL_S))
        ]
        await asyncio.sleep(0)
        await asyncio.to_thread(dismiss, services, "nanning", "trn_0")
        return await asyncio.gather(*waiting)

    assert asyncio.run(all_of_them()) == [False, True, True, False]


def test_one_query_in_a_round_asks_for_everybody(services: Services) -> None:
    for number in range(5):
        queue(services, "nanning", f"trn_{number}")

    async def many() -> list[bool]:
        return await asyncio.gather(*(waited(services, "nanning", f"trn_{n % 5}", 1.0) for n in range(50)))

    with statements(services) as sent:
        assert asyncio.run(many()) == [False] * 50
    assert 1 <= len(sent) <= 1.0 / POLL_S


def test_what_changed_before_is_told_at_once_and_so_is_what_is_gone(services: Services) -> None:
    queue(services, "nanning", "trn_0")
    dismiss(services, "nanning", "trn_0")
    begin = time.monotonic()
    assert asyncio.run(waited(services, "nanning", "trn_0", 30))
    assert asyncio.run(waited(services, "nanning", "trn_1", 30))
    assert asyncio.run(waited(services, "wuming", "trn_0", 30))  # it has none of that name
    assert time.monotonic() - begin < 20


def test_nobody_asks_when_nobody_waits(services: Services) -> None:
    queue(services, "nanning", "trn_0")

    async def leave() -> None:
        waiting = asyncio.create_task(waited(services, "nanning", "trn_0", None))
        await asyncio.sleep(2 * POLL_S)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.sleep(2 * POLL_S)  # the round that has begun
        with statements(services) as sent:
            await asyncio.sleep(3 * POLL_S)
        assert sent == []
        assert not await waited(services, "nanning", "trn_0", 2 * POLL_S, 1)  # and it begins again

    asyncio.run(leave())


def test_a_database_out_of_reach_is_told_to_everybody(services: Services) -> None:
    queue(services, "nanning", "trn_0")

    def refuse(_connection: object, _cursor: object, text: str, *_more: object) -> None:
        if "FROM jobs" in text:
            raise OperationalError(text, None, ConnectionError("gone"))

    event.listen(services.database.engine, "before_cursor_execute", refuse)

    async def several() -> list[bool | BaseException]:
        return await asyncio.gather(
            *(waited(services, "nanning", "trn_0", 30) for _ in range(3)), return_exceptions=True
        )

    try:
        found = asyncio.run(several())
    finally:
        event.remove(services.database.engine, "before_cursor_execute", refuse)
    assert [type(error) for error in found] == [OperationalError] * 3
    assert not asyncio.run(waited(services, "nanning", "trn_0", 2 * POLL_S))
