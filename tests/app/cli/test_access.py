"""`canemap keys` and `canemap tenants`, which work on the database of the settings."""

import json
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from app.access.keyring import Keyring
from app.access.scopes import Refused
from app.core import tenancy
from app.core.columns import now
from app.core.db import Database, migrate
from app.settings import Settings
from app.tables import Key
from tests.app.cli.test_service import canemap


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    migrate(Settings(data_dir=folder))
    return folder


def told(data: Path, *arguments: str) -> object:
    done = canemap(data, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def keyring(request: pytest.FixtureRequest) -> Callable[[Path], Keyring]:
    """Makes keyrings that have read nothing yet."""

    def make(data: Path) -> Keyring:
        database = Database(Settings(data_dir=data).database)
        request.addfinalizer(database.close)
        return Keyring(database)

    return make


def test_a_key_is_made_listed_rotated_and_revoked(data: Path, keyring: Callable[[Path], Keyring]) -> None:
    made = told(data, "keys", "create", "门户", "--tenant", "nanning", "--scope", "operate", "--expires", "90d")
    assert isinstance(made, dict) and made["key"].startswith(f"cm_{made['id']}_")
    assert keyring(data).find(made["key"]).tenant == "nanning"
    listed = canemap(data, "keys", "list")
    assert "门户" in listed.stdout and made["key"] not in listed.stdout
    newer = told(data, "keys", "rotate", made["id"], "--overlap", "1h")
    assert isinstance(newer, dict) and newer["scope"] == "operate"
    assert keyring(data).find(made["key"]) and keyring(data).find(newer["key"])
    told(data, "keys", "revoke", made["id"])
    with pytest.raises(Refused):
        keyring(data).find(made["key"])
    assert {row["id"] for row in told(data, "tenants", "list")} == {"local", "nanning"}  # type: ignore[attr-defined]


def test_lists_are_read_while_another_process_writes(data: Path) -> None:
    told(data, "keys", "create", "portal")
    with closing(sqlite3.connect(data / "canemap.db")) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert len(told(data, "keys", "list")) == 1  # type: ignore[arg-type]
        assert told(data, "tenants", "list")


def test_a_key_that_has_expired_is_told_from_one_that_is_unknown(
    data: Path, keyring: Callable[[Path], Keyring]
) -> None:
    made = told(data, "keys", "create", "portal", "--expires", "90d")
    assert isinstance(made, dict)
    ring = keyring(data)
    ring.check(made["id"])
    ring.forget()
    with tenancy.acting_for(tenancy.ALL), ring.database.write() as session:
        session.execute(update(Key).values(expires=now() - timedelta(seconds=1)))
    for ask in (lambda: ring.check(made["id"]), lambda: ring.find(made["key"])):
        with pytest.raises(Refused) as refused:
            ask()
        assert refused.value.code == "expired-key"
    told(data, "keys", "revoke", made["id"])
    with pytest.raises(Refused) as refused:
        ring.check(made["id"])
    assert refused.value.code == "unknown-key"


def test_the_key_alone_is_printed_on_standard_output(data: Path) -> None:
    done = canemap(data, "keys", "create", "portal")
    assert done.stdout.startswith("cm_") and len(done.stdout.split()) == 1
    assert "shown only now" in done.stderr and done.stdout.strip() not in done.stderr


@pytest.mark.parametrize(
    ("command", "code", "part"),
    [
        ("keys create x --scope root", 2, "admin"),
        ("keys create x --expires 9y", 2, "90d, 12h, 30m"),
        ("keys create x --tenant a/b", 3, "name of a tenant"),
        ("keys revoke nothing", 3, "There is no key 'nothing'."),
        ("keys rotate nothing", 3, "There is no key 'nothing'."),
        ("tenants add ../x", 3, "name of a tenant"),
        ("tenants show nothing", 3, "There is no tenant 'nothing'."),
        ("tenants set nothing --bytes 1", 3, "There is no tenant 'nothing'."),
        ("tenants set local --bytes 5XB", 2, "500GB"),
        ("tenants set local --queued-jobs -1", 2, "no amount"),
    ],
)
def test_mistakes_are_told(data: Path, command: str, code: int, part: str) -> None:
    done: subprocess.CompletedProcess[str] = canemap(data, *command.split())
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
    assert part in done.stderr


def test_a_service_that_others_reach_cannot_be_left_open(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANEMAP_AUTH", "none")
    done = canemap(data, "serve", "--host", "0.0.0.0", "--json")
    assert done.returncode == 2 and "CANEMAP_AUTH is none" in done.stderr


def test_limits_of_a_tenant_are_set_one_by_one_and_shown_with_what_is_used(data: Path) -> None:
    told(data, "tenants", "add", "nanning", "--title", "南宁")
    told(data, "tenants", "set", "nanning", "--queued-jobs", "100", "--bytes", "1.5TiB", "--uploads", "none")
    told(data, "tenants", "set", "nanning", "--pixels-per-day", "20G", "--queued-jobs", "default")
    shown = told(data, "tenants", "show", "nanning")
    assert isinstance(shown, dict) and shown["title"] == "南宁"
    own = {name: most for name, most in shown["limits"].items() if most is not None}
    assert own == {"stored_bytes": 3 * 2**39, "uploads": 0, "pixels_per_day": 20 * 10**9}
    assert shown["limits_in_force"]["queued_jobs"] == 1000
    assert shown["used"] == {"queued_jobs": 0, "stored_bytes": 0, "pixels_today": 0}
    table = canemap(data, "tenants", "show", "nanning").stdout
    assert "20,000,000,000" in table and "no limit" in table
