"""`canemap zones` and `canemap areas --zones`, as a person or a script runs them, against a real service."""

import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.settings import Settings
from tests import commands
from tests.app.api.conftest import copy_of_service, prepared_sqlite, serving, trained_sqlite, zones_file

__all__ = ["prepared_sqlite", "trained_sqlite"]


@pytest.fixture
def http(trained_sqlite: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a server that has a prediction."""
    with copy_of_service(trained_sqlite, tmp_path_factory.mktemp("copy")) as settings, serving(settings) as client:
        yield client


def test_zones_are_uploaded_shown_used_and_deleted(http: httpx.Client, tmp_path: Path) -> None:
    def canemap(*arguments: str) -> bytes:
        done = commands.run(*arguments, env=os.environ | {"CANEMAP_URL": str(http.base_url), "COLUMNS": "200"})
        said.append(done.stderr)
        return done.stdout.encode() if done.returncode == 0 else f"exit {done.returncode}".encode()

    said: list[str] = []
    file = str(zones_file(tmp_path / "counties.geojson"))
    assert canemap("zones", "upload", file) == b"exit 3"
    assert "--code-field: No attribute was named" in said[-1] or "--code-field" in said[-1]
    assert b"zones counties: geojson, 1 zones, OGC:CRS84" in canemap("zones", "upload", file, "--code-field", "code")
    (listed,) = json.loads(canemap("zones", "list", "--json"))
    assert listed["id"] == "counties" and b"450122" in canemap("zones", "show", "counties")
    prediction = http.get("/v1/predictions").json()["features"][0]["id"]
    assert b"450122" in canemap("areas", prediction, "--zones", "counties")
    assert "no interval for 450122: The errors of the model" in said[-1]
    table = canemap("areas", prediction, prediction, "--zones", "counties", "--csv").decode()
    lines = list(csv.DictReader(io.StringIO(table.removeprefix("\ufeff"))))
    assert table.startswith("\ufeff") and [line["prediction"] for line in lines] == [prediction] * 2
    assert canemap("areas", prediction, "--zones", "nosuch") == b"exit 3" and "`canemap zones list`" in said[-1]
    assert canemap("zones", "delete", "counties", "--yes") and not json.loads(canemap("zones", "list", "--json"))
