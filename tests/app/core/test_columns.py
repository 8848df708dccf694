"""JSON columns that hold models, on both databases."""

import pytest
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import StatementError

from app.core.columns import UnreadableRow
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


def write(services: Services, error: object) -> None:
    with services.database.write() as session:
        session.get_one(Job, "trn_1").error = error  # type: ignore[assignment]


def read(services: Services) -> ProblemDocument | None:
    with services.database.read() as session:
        return session.get_one(Job, "trn_1").error


def execute(services: Services, statement: str) -> object:
    with services.database.write() as session:
        return session.execute(text(statement))


def test_a_model_is_read_as_it_was_written(services: Services) -> None:
    write(services, PROBLEM)
    assert read(services) == PROBLEM


def test_a_dict_is_validated_when_it_is_written(services: Services) -> None:
    write(services, PROBLEM.model_dump(mode="json"))
    assert read(services) == PROBLEM
    with pytest.raises(StatementError) as refused:
        write(services, {"type": "too-large"})
    assert isinstance(refused.value.orig, ValidationError)
    assert read(services) == PROBLEM


def test_none_is_stored_as_null(services: Services) -> None:
    write(services, PROBLEM)
    write(services, None)
    assert read(services) is None
    with services.database.read() as session:
        assert session.scalar(text("SELECT count(*) FROM jobs WHERE error IS NULL")) == 1


def test_a_json_null_is_read_as_none(services: Services) -> None:
    execute(services, "UPDATE jobs SET error = 'null'")
    assert read(services) is None


def test_json_that_does_not_fit_the_model_cannot_be_read(services: Services) -> None:
    execute(services, """UPDATE jobs SET error = '{"type": "too-large", "secret": 1}'""")
    with pytest.raises(UnreadableRow):
        read(services)
