"""JSON columns hold models; on both databases."""

import pytest
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import StatementError

from app.core.errors import ProblemDocument
from app.jobs import lifecycle
from app.services import Services
from app.tables import Job
from ml.faults import Fault

FAULT = Fault("too_large", "It is too large.", "Cut it.", "/scene")
PROBLEM = ProblemDocument(type="too-large", title="Too large", status=413, detail="It is too large.", errors=(FAULT,))


@pytest.fixture(autouse=True)
def job(services: Services) -> None:
    """A job without an error."""
    with services.database.write() as session:
        lifecycle.create(session, "trn_1", "training")


def keep(services: Services, error: object) -> None:
    with services.database.write() as session:
        session.get_one(Job, "trn_1").error = error  # type: ignore[assignment]


def kept(services: Services) -> ProblemDocument | None:
    with services.database.read() as session:
        return session.get_one(Job, "trn_1").error


def raw(services: Services, statement: str) -> object:
    with services.database.write() as session:
        return session.execute(text(statement))


def test_a_model_comes_back_as_it_was(services: Services) -> None:
    keep(services, PROBLEM)
    assert kept(services) == PROBLEM


def test_a_dict_is_validated_on_its_way_in(services: Services) -> None:
    keep(services, PROBLEM.model_dump(mode="json"))
    assert kept(services) == PROBLEM
    with pytest.raises(StatementError) as refused:
        keep(services, {"type": "too-large"})
    assert isinstance(refused.value.orig, ValidationError)
    assert kept(services) == PROBLEM


def test_none_is_null(services: Services) -> None:
    keep(services, PROBLEM)
    keep(services, None)
    assert kept(services) is None
    with services.database.read() as session:
        assert session.scalar(text("SELECT count(*) FROM jobs WHERE error IS NULL")) == 1


def test_a_null_of_json_is_read_as_none(services: Services) -> None:
    raw(services, "UPDATE jobs SET error = 'null'")
    assert kept(services) is None


def test_what_is_not_of_the_model_is_not_read(services: Services) -> None:
    raw(services, """UPDATE jobs SET error = '{"type": "too-large", "secret": 1}'""")
    with pytest.raises(ValidationError):
        kept(services)
