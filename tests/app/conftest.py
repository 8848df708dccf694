"""Fixtures that open the services of `app` on a new database, once on SQLite and once on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.services import Services
from app.settings import Settings


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings with a migrated database without rows and an empty data folder."""
    return Settings(
        data_dir=tmp_path / "data", database_url=database_url, lease_s=10, max_failures=3, retry_pauses_s="0"
    )


@pytest.fixture
def services(settings: Settings) -> Iterator[Services]:
    """The services that `settings` name."""
    services = Services.open(settings)
    yield services
    services.close()
