"""What a key may do in one process: requests by a bucket that fills up again, and what it does at once."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.access.meter import AT_WORK, KEYS, Meter
from app.access.scopes import Principal
from app.core import tenancy
from app.core.db import Database
from app.core.errors import OverQuota
from app.requests.access import Limits
from app.settings import Settings
from app.tables import Tenant
from tests import servers

SETTINGS = Settings(limit_requests_per_minute=60, limit_uploads=2, limit_streams=0)
PORTAL = Principal("nanning", "view", "key00001")


@pytest.fixture
def database_url(migrated_sqlite: str, tmp_path: Path) -> Iterator[str]:
    """Only SQLite: nearly all of this has nothing to do with a database."""
    with servers.copy_of(migrated_sqlite, tmp_path) as url:
        yield url


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def meter(clock: Clock, settings: Settings = SETTINGS) -> Meter:
    return Meter(Database("sqlite:///is-not-opened"), settings, clock)


@given(st.lists(st.floats(0, 200), max_size=200))
def test_in_no_time_a_key_gets_more_than_a_burst_and_what_has_come_since(pauses: list[float]) -> None:
    clock, accepted = Clock(), [0.0]
    counted = meter(clock)
    for pause in pauses:
        clock.now += pause
        for _ in range(30):
            try:
                left = counted.request(PORTAL)
            except OverQuota as refused:
                assert refused.quota.retry_after_s in (1, 2)
                break
            assert left and 0 <= left.left < 60
            accepted.append(clock.now)
    for first in range(0, len(accepted), 7):
        for last in range(first, len(accepted), 7):
            assert last - first <= 60 + (accepted[last] - accepted[first]) * 1.0 + 1


def test_who_comes_back_after_the_time_that_was_told_is_let_in() -> None:
    clock = Clock()
    counted = meter(clock, SETTINGS.model_copy(update={"limit_requests_per_minute": 7}))
    for _ in range(50):
        try:
            counted.request(PORTAL)
        except OverQuota as refused:
            clock.now += refused.quota.retry_after_s or 0
            assert counted.request(PORTAL)


def test_each_key_is_counted_for_itself_and_whoever_shows_none_is_not() -> None:
    counted = meter(Clock())
    for _ in range(60):
        counted.request(PORTAL)
    with pytest.raises(OverQuota):
        counted.request(PORTAL)
    assert counted.request(Principal("nanning", "view", "key00002"))
    assert counted.request(Principal()) is None


def test_what_is_done_at_once_is_given_back() -> None:
    counted = meter(Clock())
    first, _second = counted.take(PORTAL, "uploads"), counted.take(PORTAL, "uploads")
    with pytest.raises(OverQuota, match="2 files already"):
        counted.take(PORTAL, "uploads")
    counted.take(PORTAL, "downloads")
    first()
    assert counted.busy("key00001", "uploads") == 1
    counted.take(PORTAL, "uploads")
    for _ in range(1000):
        counted.take(PORTAL, "streams")  # without a limit


def test_the_limits_of_a_tenant_are_those_of_the_service_but_where_it_has_its_own(settings: Settings) -> None:
    database = Database(settings.database)
    counted = Meter(database, SETTINGS)
    assert counted.limits_of("nanning").requests_per_minute == 60
    with tenancy.acting_for(tenancy.ALL), database.write() as session:
        session.add(Tenant(id="nanning", limits=Limits(requests_per_minute=0, queued_jobs=5)))
    counted.renew()
    found = counted.limits_of("nanning")
    assert (found.requests_per_minute, found.queued_jobs, found.uploads) == (0, 5, 2)
    assert counted.request(PORTAL) is None
    own = counted.limits_of("local")
    assert (own.requests_per_minute, own.queued_jobs, own.stored_bytes, own.pixels_per_day) == (60, 0, 0, 0)
    database.close()


def test_a_key_waits_behind_its_own_requests_and_never_behind_those_of_another() -> None:
    async def scenario() -> None:
        counted = meter(Clock())
        ends = [await counted.turn(PORTAL) for _ in range(AT_WORK)]
        late = asyncio.create_task(counted.turn(PORTAL))
        await asyncio.sleep(0.01)
        assert not late.done()
        other = await asyncio.wait_for(counted.turn(Principal("guilin", "view", "key00002")), 5)
        ends.pop()()
        ends.append(await asyncio.wait_for(late, 5))
        gone = asyncio.create_task(counted.turn(PORTAL))  # a client that has left does not keep the line
        await asyncio.sleep(0.01)
        gone.cancel()
        for end in (*ends, other):
            end()
        again = [await asyncio.wait_for(counted.turn(PORTAL), 5) for _ in range(AT_WORK)]
        assert len(again) == AT_WORK

    asyncio.run(scenario())


def test_all_keys_of_a_tenant_together_have_a_limit_too_and_those_of_others_do_not_notice() -> None:
    counted, keys = meter(Clock()), [Principal("nanning", "view", f"key{number:05}") for number in range(20)]
    for key in keys[:KEYS]:
        for _ in range(60):
            counted.request(key)
    with pytest.raises(OverQuota, match="keys of your tenant") as refused:
        counted.request(keys[KEYS])  # whoever makes a new key gets nothing more by it
    assert refused.value.quota.name == "tenant-requests" and refused.value.quota.retry_after_s == 1
    assert counted.request(Principal("guilin", "view", "key00099"))
    assert all(counted.request(Principal("local", "admin", f"key1{number:04}")) for number in range(400))


def test_what_the_keys_of_a_tenant_do_at_once_is_limited_and_given_back() -> None:
    counted, keys = meter(Clock()), [Principal("nanning", "view", f"key{number:05}") for number in range(20)]
    ends = [counted.take(key, "uploads") for key in keys[:KEYS] for _ in range(2)]
    with pytest.raises(OverQuota, match="keys of your tenant send 10 files"):
        counted.take(keys[KEYS], "uploads")
    assert counted.busy("key00005", "uploads") == 0
    ends.pop()()
    counted.take(keys[KEYS], "uploads")


def test_the_lines_of_many_keys_are_one_line_of_their_tenant() -> None:
    async def scenario() -> None:
        counted, keys = meter(Clock()), [Principal("nanning", "view", f"key{number:05}") for number in range(20)]
        ends = [await counted.turn(key) for key in keys[:KEYS] for _ in range(AT_WORK)]
        late = asyncio.create_task(counted.turn(keys[KEYS]))
        await asyncio.sleep(0.01)
        assert not late.done()
        late.cancel()
        await asyncio.wait([late])
        ends.pop()()
        await asyncio.wait_for(counted.turn(keys[KEYS]), 5)

    asyncio.run(scenario())
