"""Fixtures for every test: real servers, fresh databases, the shared sample data."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, make_url
from xdist.scheduler import LoadFileScheduling

from app.core.db import migrate
from app.settings import Settings
from tests import servers

SHARED = Path(__file__).resolve().parents[2] / "shared"
SAME_SERVICES = tuple(f"tests/e2e/test_{name}.py" for name in ("main_job", "experiments", "cli", "examples"))
LONG = ("tests/e2e/", "tests/test_stack.py", "tests/ml/nn/training/test_ranks.py")


class ByService(LoadFileScheduling):
    """The tests of a file go to one xdist worker, those of several files that share a service to one, too."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        if not file.startswith("tests/e2e/"):
            return file
        stack = "on servers" if "postgresql" in nodeid else "embedded"
        return stack if file in SAME_SERVICES else f"{file} {stack}"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByService:
    """Instead of what --dist names."""
    return ByService(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first: no xdist worker shall begin it when the others have nothing left."""
    items.sort(key=lambda item: (not item.nodeid.startswith(SAME_SERVICES), not item.nodeid.startswith(LONG)))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[URL]:
    """A PostgreSQL: the one that CANEMAP_TEST_DATABASE_URL names, else one of our own, one per xdist worker."""
    if named := os.environ.get("CANEMAP_TEST_DATABASE_URL"):
        yield make_url(named).set(drivername="postgresql+psycopg")
        return
    with servers.postgres() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: URL) -> Iterator[str]:
    """The SQLAlchemy URL of a new empty PostgreSQL database."""
    with servers.database(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The SQLAlchemy URL of an SQLite database with the schema and no rows, to be copied."""
    url = f"sqlite:///{tmp_path_factory.mktemp('migrated') / 'registry.sqlite'}"
    migrate(Settings(database_url=url))
    return url


@pytest.fixture(scope="session")
def migrated_postgresql(postgres_server: URL) -> Iterator[str]:
    """The SQLAlchemy URL of a PostgreSQL database with the schema and no rows, to be copied."""
    with servers.database(postgres_server) as url:
        migrate(Settings(database_url=url))
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The SQLAlchemy URL of a new database with the schema and no rows: once on SQLite and once on PostgreSQL."""
    with servers.copy_of(request.getfixturevalue(f"migrated_{request.param}"), tmp_path) as url:
        yield url


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """A Redis: the one that CANEMAP_TEST_REDIS_URL names (without a database), else one of our own."""
    if named := os.environ.get("CANEMAP_TEST_REDIS_URL"):
        yield named.rstrip("/")
        return
    with servers.redis_server() as url:
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The URL of an empty Redis database, for Celery; each xdist worker has its own number."""
    url = f"{redis_server}/{redis_number()}"
    servers.empty_redis(url)
    return url


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The endpoint of an S3 server of our own, one per xdist worker."""
    with servers.s3_server() as url:
        yield url


@pytest.fixture
def s3_url(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty store on it, with its keys in the environment."""
    for name, value in servers.S3_KEYS.items():
        monkeypatch.setenv(name, value)
    return new_store_url(s3_server)


def redis_number() -> int:
    """Of this xdist worker's own database."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def new_store_url(s3_server: str) -> str:
    """An empty store on it, for CANEMAP_STORE_URL."""
    return f"s3://canemap/{secrets.token_hex(8)}?endpoint={s3_server}"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of sample imagery and faulty files beside the repository; without it the test is skipped."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"no sample data in {SHARED.parent.name}/shared: this test needs real imagery")
    return SHARED
