"""Rows that canemap 0.1.0 stored give the same answers, byte by byte, on both databases.

`stored.json` has the rows in SQLite of one resource of each kind, and the answers of canemap 0.1.0. Some answers were
changed in it: events and a single experiment have times with Z instead of +00:00, and JSON without spaces, as all
other answers already had; STAC Items were not valid, and are now (docs/decisions/0033-valid-stac-and-a-catalogue.md).
Fields that were added since have their defaults in it. Rows of kinds that came later are in `later`, by the revision in
whose schema they are: a survey, and a sample with its answers. The schedule is next due in 2126, so that no test
does its work.
The CSV of areas has four decimals and more columns since.
"""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Boolean, Connection, Table, text

from app.core.columns import Base, PydanticJSON, UtcDateTime
from app.core.db import migrate
from app.services import Services
from app.settings import Settings

GONE = PydanticJSON(list)  # the type of a column that was removed
STORED = json.loads(Path(__file__).with_name("stored.json").read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def rows(services: Services, settings: Settings) -> None:
    """The stored rows, written as plain values in the schemas of their time, and migrated to the present schema."""
    migrate(settings, "base")
    for revision, by_table in {"0005": STORED["rows"], **STORED["later"]}.items():
        migrate(settings, revision)
        with services.database.engine.begin() as connection:
            for table in Base.metadata.sorted_tables:
                for row in by_table.get(table.name, ()):
                    insert(connection, table, row)
    migrate(settings)


def insert(connection: Connection, table: Table, row: dict[str, Any]) -> None:
    postgresql = connection.dialect.name == "postgresql"
    values = dict(row)
    marks = []
    for name, value in row.items():
        kind = table.columns[name].type if name in table.columns else GONE
        marks.append(f"CAST(:{name} AS JSONB)" if postgresql and isinstance(kind, PydanticJSON) else f":{name}")
        if postgresql and isinstance(kind, Boolean):
            values[name] = bool(value)
        if postgresql and isinstance(kind, UtcDateTime) and value:
            values[name] = f"{value}+00"
    names = ", ".join(f'"{name}"' for name in row)
    connection.execute(text(f"INSERT INTO {table.name} ({names}) VALUES ({', '.join(marks)})"), values)


def test_answers_to_stored_rows_are_the_same_as_in_0_1_0(http: httpx.Client, database_url: str) -> None:
    before = STORED["answers"]
    found = {path: http.get(path).text.replace(str(http.base_url), "http://service") for path in before}
    if database_url.startswith("sqlite"):
        assert found == before
    else:  # JSONB does not keep the order of keys
        assert {path: parsed(text) for path, text in found.items()} == {p: parsed(text) for p, text in before.items()}


def parsed(text: str) -> Any:
    return json.loads(text) if text.startswith("{") else text


LISTS = (
    *("datasets", "labels", "trainings", "experiments", "jobs", "schedules", "scenes", "predictions", "models"),
    *("surveys", "samples"),
)


def test_a_list_has_the_same_documents_as_the_single_resources(http: httpx.Client) -> None:
    for list_ in LISTS:
        page = http.get(f"/v1/{list_}").json()
        items = page.get("items", page.get("features"))
        assert items, list_
        for item in items:
            key = item.get("jobID") or item.get("id") or item["name"]
            document = http.get(f"/v1/{list_}/{key}").json()
            if list_ == "models":
                assert item["versions"][0] == document["versions"][0]
            else:
                assert item == document
