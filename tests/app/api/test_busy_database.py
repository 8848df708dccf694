"""Requests that get no connection to the database, because others hold them all: they are told to come back."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from app.core.db import Connections, Database
from app.main import create_app
from app.settings import Settings
from tests.app.api.conftest import put, serving_app
from tests.waiting import eventually

ONE = Connections(kept=1, more=0, wait_s=0.2)


@contextmanager
def held(database: Database) -> Iterator[None]:
    """Another thread holds a connection to the database during the block."""
    holding, end = threading.Event(), threading.Event()

    def hold() -> None:
        with database.read() as session:
            session.execute(text("SELECT 1"))
            holding.set()
            end.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    assert holding.wait(timeout=30)
    yield
    end.set()
    thread.join()


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """The database with a single connection, for which requests wait only a short time."""
    database = Database(settings.database, ONE)
    yield database
    database.close()


@pytest.fixture
def http(settings: Settings, database: Database) -> Iterator[httpx.Client]:
    """A client of a server whose requests share the connection of `database`."""
    app = create_app(settings)
    with serving_app(app) as client:
        app.state.services = replace(app.state.services, database=database)
        yield client


def test_a_request_without_a_connection_is_told_to_come_back(
    http: httpx.Client, database: Database, scene: Path
) -> None:
    with held(database):
        for answer in http.get("/v1/scenes"), put(http, "/v1/scenes/s1", scene), http.delete("/v1/jobs/trn_1"):
            assert (answer.status_code, answer.json()["type"]) == (503, "busy")
            assert int(answer.headers["retry-after"]) > 0
            assert "QueuePool" not in answer.text
        assert http.get("/healthz").status_code == 200
    eventually(lambda: http.get("/v1/scenes").status_code == 200)
    assert http.get("/v1/scenes/s1").status_code == 404
    assert put(http, "/v1/scenes/s1", scene).status_code == 201
