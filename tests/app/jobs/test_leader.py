"""One process leads, and another one takes over when it ends or is silent."""

from collections.abc import Iterator

import pytest

from app.core.db import Database
from app.jobs.leader import Leader
from app.services import Services
from tests.waiting import eventually


@pytest.fixture
def two(services: Services, request: pytest.FixtureRequest) -> Iterator[tuple[Leader, Leader]]:
    """Two candidates, each with connections of its own as in two processes. The parameter: seconds of silence."""
    if services.database.engine.dialect.name != "postgresql":
        pytest.skip("on SQLite all processes sweep")
    others = Database(services.settings.database)
    yield Leader(services.database.engine, request.param), Leader(others.engine, request.param)
    others.close()


@pytest.mark.parametrize("two", [600], indirect=True)
def test_one_of_two_leads_for_as_long_as_it_asks(two: tuple[Leader, Leader]) -> None:
    first, second = two
    for _ in range(5):
        assert first.leads() and not second.leads()


@pytest.mark.parametrize("two", [0.5], indirect=True)
def test_a_leader_that_is_silent_is_followed_by_another_one(two: tuple[Leader, Leader]) -> None:
    first, second = two
    assert first.leads()
    eventually(second.leads)
    assert not first.leads(), "it learns that it leads no longer"


@pytest.mark.parametrize("two", [600], indirect=True)
def test_a_leader_that_ends_is_followed_at_once(two: tuple[Leader, Leader]) -> None:
    first, second = two
    assert first.leads() and not second.leads()
    assert first._transaction is not None
    first._transaction.invalidate()  # its socket is closed, as when its process is killed
    eventually(second.leads, seconds=10)


def test_without_postgresql_all_lead(services: Services) -> None:
    if services.database.engine.dialect.name == "postgresql":
        pytest.skip("there one leads")
    assert all(Leader(services.database.engine, 600).leads() for _ in range(3))
