"""Lists in pages, newest first, on both databases."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from app.core.errors import Invalid
from app.core.paging import Page, page
from app.jobs import lifecycle
from app.services import Services
from app.tables import Job

START = datetime(2026, 1, 1, tzinfo=UTC)


def pages(services: Services, limit: int) -> list[Page[Job]]:
    found: list[Page[Job]] = []
    token: str | None = None
    while not found or token:
        with services.database.read() as session:
            found.append(page(session, select(Job), Job.created, Job.id, limit=limit, token=token))
        token = found[-1].next
    return found


def add(services: Services, names: list[str], created: datetime) -> None:
    with services.database.write() as session:
        for name in names:
            lifecycle.create(session, name, "training").created = created


def test_each_row_is_on_one_page_newest_first_even_if_many_have_the_same_time(services: Services) -> None:
    add(services, ["a", "b", "c", "d"], START)
    add(services, ["e"], START + timedelta(microseconds=1))
    found = pages(services, limit=2)
    assert [[row.id for row in each.rows] for each in found] == [["e", "d"], ["c", "b"], ["a"]]


def test_rows_that_are_added_meanwhile_do_not_shift_the_pages(services: Services) -> None:
    add(services, ["a", "b", "c"], START)
    with services.database.read() as session:
        first = page(session, select(Job), Job.created, Job.id, limit=2, token=None)
    add(services, ["z"], START + timedelta(days=1))
    with services.database.read() as session:
        second = page(session, select(Job), Job.created, Job.id, limit=2, token=first.next)
    assert [row.id for row in second.rows] == ["a"]


@pytest.mark.parametrize("token", ["x", "bm90IGpzb24", "WzEsMl0", "WyIyMDI2IiwgImEiXQ", "W1tbW1tb", "é"])
def test_a_forged_token_is_refused(services: Services, token: str) -> None:
    with pytest.raises(Invalid), services.database.read() as session:
        page(session, select(Job), Job.created, Job.id, limit=2, token=token)
