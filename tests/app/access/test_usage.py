"""What a tenant may have in all: requests that are sent at once cannot pass a limit together, on both databases."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime, timedelta

import pytest

from app.access import reservations, tenants, usage
from app.core import tenancy
from app.core.errors import NeverFits, OverQuota, StorageFull
from app.jobs import lifecycle
from app.requests.access import Limits
from app.services import Services
from app.tables import IncomingFile

OTHER = "nanning"
MINUTE = timedelta(minutes=1)


def limit(services: Services, limits: Limits, tenant: str = OTHER) -> None:
    with tenancy.acting_for(tenancy.ALL), services.database.write() as session:
        tenants.put(session, tenant, None, limits=limits)


def add_job(services: Services, number: int) -> None:
    with services.database.write() as session:
        lifecycle.create(session, f"trn_{number}", "training")
        usage.check_jobs(session, services.settings)


def at_once(count: int, do: Callable[[int], object]) -> int:
    """Call `do` with each number below `count` in 16 threads; returns how many were not refused."""

    def tried(number: int) -> bool:
        try:
            do(number)
        except OverQuota:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(copy_context().run, tried, number) for number in range(count)]
        return sum(call.result() for call in calls)


def test_fifty_jobs_at_once_cannot_be_more_than_the_tenant_may_have(services: Services) -> None:
    limit(services, Limits(queued_jobs=7))
    with tenancy.acting_for(OTHER):
        assert at_once(50, lambda number: add_job(services, number)) == 7
        with services.database.read() as session:
            assert usage.of(session, OTHER).queued_jobs == 7
    assert at_once(20, lambda number: add_job(services, number)) == 20  # "local" has no such limit


def test_a_job_that_has_ended_makes_room_for_another(services: Services) -> None:
    limit(services, Limits(queued_jobs=1))
    with tenancy.acting_for(OTHER):
        add_job(services, 0)
        with pytest.raises(OverQuota, match="2 jobs of your tenant") as refused:
            add_job(services, 1)
        assert refused.value.code == "too-many-jobs" and refused.value.quota.retry_after_s == 60
        with services.database.write() as session:
            lifecycle.dismiss(session, "trn_0")
        add_job(services, 1)


def test_files_that_arrive_at_once_cannot_pass_the_limit_together(services: Services) -> None:
    limit(services, Limits(stored_bytes=1050))
    with tenancy.acting_for(OTHER):

        def arrive(number: int) -> int:
            reserve = reservations.reserve
            return reserve(services.database, services.settings, f"file-{number}", 100, 100, MINUTE)

        assert at_once(40, arrive) == 10
        with services.database.read() as session:
            assert usage.stored_bytes(session, OTHER) == 1000


def test_a_file_of_unknown_length_gets_what_is_left_and_no_more(services: Services) -> None:
    limit(services, Limits(stored_bytes=1000))
    database, settings = services.database, services.settings
    with tenancy.acting_for(OTHER):
        assert reservations.reserve(database, settings, "a", 10, 600, MINUTE) == 600
        assert reservations.reserve(database, settings, "b", 10, 600, MINUTE) == 400
        with pytest.raises(StorageFull, match="have 600 bytes and may have 1000; this needs 401 more"):
            reservations.reserve(database, settings, "b", 401, 600, MINUTE)
        reservations.settle(database, "a", 50)
        assert reservations.reserve(database, settings, "b", 401, 600, MINUTE) == 600
        with pytest.raises(NeverFits, match="1001"):
            reservations.reserve(database, settings, "c", 1001, 1001, MINUTE)
        reservations.release(database, "b")
        with database.read() as session:
            assert usage.stored_bytes(session, OTHER) == 50


def test_the_room_of_a_process_that_died_is_given_back_in_time(services: Services) -> None:
    limit(services, Limits(stored_bytes=1000))
    with tenancy.acting_for(OTHER):
        reservations.reserve(services.database, services.settings, "a", 900, 900, MINUTE)
        with services.database.write() as session:
            session.get_one(IncomingFile, "a").until -= 2 * MINUTE
        assert reservations.reserve(services.database, services.settings, "b", 1000, 1000, MINUTE) == 1000


def test_pixels_are_counted_by_days_of_utc(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(services, Limits(pixels_per_day=100))
    moment = datetime(2026, 11, 30, 22, 0, tzinfo=UTC)
    monkeypatch.setattr(usage, "now", lambda: moment)

    def take(_: int = 0) -> None:
        with services.database.write() as session:
            usage.take_pixels(session, services.settings, 30)

    with tenancy.acting_for(OTHER):
        assert at_once(20, take) == 3
        with pytest.raises(OverQuota, match="has had 90 mapped today, of 100") as refused:
            take()
        assert refused.value.quota.retry_after_s == 2 * 3600 + 1
        monkeypatch.setattr(usage, "now", lambda: moment + timedelta(seconds=7201))
        take()
        with services.database.read() as session:
            assert usage.of(session, OTHER).pixels_today == 30
