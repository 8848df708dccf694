"""The durable half on a fresh database, once on SQLite and once on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.services import Services
from app.settings import Settings


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings on a database without rows and an empty data folder."""
    return Settings(data_dir=tmp_path / "data", database_url=database_url, lease_s=10, max_failures=3)


@pytest.fixture
def services(settings: Settings) -> Iterator[Services]:
    """The services on them."""
    services = Services.open(settings)
    yield services
    services.close()
