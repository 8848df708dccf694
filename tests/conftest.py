"""Fixtures for all tests: real servers, new databases, and the shared sample data."""

from app.core import calm_start  # noqa: F401  # a worker imports thousands of modules

# isort: split
import gc
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from sqlalchemy import URL, make_url
from xdist.scheduler import LoadFileScheduling

from app.core.db import migrate
from app.settings import Settings
from tests import servers

# on a busy machine every case is slow, which says nothing about a test
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

SHARED = Path(__file__).resolve().parents[2] / "shared"
SAME_SERVICES = tuple(f"tests/e2e/test_{name}.py" for name in ("main_job", "experiments", "cli", "examples"))
# groups of files, or of folders; those that take longest come first
LONGEST_FIRST = (
    SAME_SERVICES,
    ("tests/e2e/", "tests/test_stack.py", "tests/ml/nn/training/test_ranks.py"),
    *(
        tuple(f"tests/{name}.py" for name in names.split())
        for names in (
            """
            app/api/test_answers app/api/test_authorisation app/api/test_datasets app/api/test_deletion
            app/api/test_evaluations app/api/test_generated_client app/api/test_grants app/api/test_limits
            app/api/test_models app/api/test_openapi app/api/test_preconditions app/api/test_processes
            app/api/test_races app/api/test_retry app/api/test_sample_zones app/api/test_scene_tiles
            app/api/test_schedules app/api/test_signed_urls app/api/test_stac_catalogue app/api/test_strange_json
            app/api/test_surveys app/api/test_tenant_limits app/api/test_tenants app/api/test_tiles
            app/api/test_titles app/api/test_webhooks app/cli/test_language app/schedules/test_schedules
            ml/geo/test_whole_file ml/nn/prediction/test_predict ml/nn/prediction/test_stripes
            ml/nn/training/test_step ml/products/test_scene_picture worker/test_supervisor
            """,
            """
            app/api/test_approval app/api/test_audit app/api/test_bombs app/api/test_copies app/api/test_fleet_uploads
            app/api/test_full_disk app/api/test_jobs app/api/test_keys app/api/test_parameters app/api/test_parts
            app/api/test_problems app/api/test_sample_changes app/api/test_samples app/api/test_scenes
            app/api/test_survey_samples app/api/test_trainings app/api/test_uploads app/api/test_zones
            app/cli/test_failures
            app/cli/test_service app/core/test_db app/jobs/test_job_states app/operations/test_doctor
            app/storage/test_backup app/upkeep/test_scrubbing app/webhooks/test_deliverer ml/labels/test_two_readers
            ml/nn/prediction/test_row_stream ml/nn/training/test_train ml/scenes/test_tiff_agreement ml/test_main
            worker/test_attempt worker/test_publish
            """,
        )
    ),
)


class ByService(LoadFileScheduling):
    """Gives all tests of a file to one xdist worker, and also all tests of several files that share a service."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        if not file.startswith("tests/e2e/"):
            return file
        stack = "on servers" if "postgresql" in nodeid else "embedded"
        return stack if file in SAME_SERVICES else f"{file} {stack}"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByService:
    """Use `ByService` instead of the scheduler that --dist names."""
    return ByService(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run long files first, so that no xdist worker begins one when the others have nothing left to do."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    groups = enumerate(LONGEST_FIRST)
    return next((number for number, files in groups if item.nodeid.startswith(files)), len(LONGEST_FIRST))


def pytest_collection_finish() -> None:
    """Leave what was imported and collected out of all later collections of garbage, which are as frequent as usual."""
    gc.freeze()
    gc.set_threshold(700, 10, 10)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[URL]:
    """The PostgreSQL at CANEMAP_TEST_DATABASE_URL, or a new one for each xdist worker if that is not set."""
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
    """The Redis at CANEMAP_TEST_REDIS_URL (a URL without a database), or a new one if that is not set."""
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
    """The endpoint of an S3 server that is started for each xdist worker."""
    with servers.s3_server() as url:
        yield url


@pytest.fixture
def s3_url(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty store on `s3_server`, with its access keys in the environment."""
    for name, value in servers.S3_KEYS.items():
        monkeypatch.setenv(name, value)
    return new_store_url(s3_server)


def redis_number() -> int:
    """The number of the Redis database of this xdist worker."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def new_store_url(s3_server: str) -> str:
    """The URL of a new empty store on `s3_server`, as CANEMAP_STORE_URL takes it."""
    return f"s3://canemap/{secrets.token_hex(8)}?endpoint={s3_server}"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of sample imagery and faulty files beside the repository. Without it the test is skipped."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"no sample data in {SHARED.parent.name}/shared: this test needs real imagery")
    return SHARED
