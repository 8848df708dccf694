"""The database: one engine, reading and writing transactions, and the version of the schema.

This is the only module that commits.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.orm import Session

import migrations
from app.settings import Settings

_MIGRATIONS = Path(migrations.__file__).parent
MIGRATION_LOCK = 0x63616E65  # any number, the same in every process


@dataclass(frozen=True)
class Connections:
    """How many connections a process holds open, how many more it may open for a time, and seconds to wait for one."""

    kept: int = 10
    more: int = 50  # every thread of the API (40) can have one; others are for those that end and for the background
    wait_s: float = 30


class Database:
    """Transactions on the database. `read()` never blocks a writer; `write()` commits at its end or not at all."""

    def __init__(self, url: str, connections: Connections = Connections()) -> None:
        self.engine = make_engine(url, connections)
        self._writer = self.engine.execution_options(sqlite_begin="IMMEDIATE")

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one consistent state. Changes made in it are not saved."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that commits when the block ends, and rolls back when it raises."""
        with Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def make_engine(url: str, connections: Connections = Connections()) -> Engine:
    """An engine for the database at `url`. SQLite is configured to be durable and safe for several processes."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return _create_engine(parsed, connections, pool_pre_ping=True, connect_args={"connect_timeout": 10})
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = _create_engine(parsed, connections, connect_args={"timeout": 30})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _create_engine(url: URL, pool: Connections, **options: Any) -> Engine:
    options |= {"pool_size": pool.kept, "max_overflow": pool.more, "pool_timeout": pool.wait_s}
    # JSON is passed on as text: `PydanticJSON` converts it to values directly, without dicts in between
    return create_engine(url, hide_parameters=True, json_serializer=_unchanged, json_deserializer=_unchanged, **options)


def _unchanged(text: Any) -> Any:
    return text


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions: `_begin_sqlite` does
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that will write takes the write lock at its start: taking it later can fail in spite of a timeout.
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('sqlite_begin', 'DEFERRED')}")


def migrate(settings: Settings, revision: str = "head") -> None:
    """Migrate the schema to `revision`. Several processes may do this at the same time: they wait for each other."""
    engine = make_engine(settings.database)
    try:
        with engine.execution_options(sqlite_begin="IMMEDIATE").begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
            run_alembic(connection, revision)
    finally:
        engine.dispose()


class CannotMigrate(ValueError):
    """The schema cannot be brought to a revision."""


def upgrade(settings: Settings, revision: str = "head") -> str:
    """Migrate the schema forward to `revision`; returns the revision that it then has.

    Raises `CannotMigrate` for a revision that this canemap does not have, or that is older than the schema: data would
    be lost on the way back.
    """
    known = schemas()[::-1]
    wanted = known[-1] if revision == "head" else revision
    if wanted not in known:
        raise CannotMigrate(f"This canemap has no revision {revision!r}: it has {', '.join(known)}.")
    engine = make_engine(settings.database)
    with engine.connect() as connection:
        found = schema_of(connection)
    engine.dispose()
    if found in known and known.index(wanted) < known.index(found):
        raise CannotMigrate(f"The schema is at {found} and is not migrated back to {wanted}: restore a backup instead.")
    if found is not None and found not in known:
        raise CannotMigrate(f"The schema is at {found}, which is newer than this canemap: update canemap.")
    migrate(settings, wanted)
    return wanted


def run_alembic(connection: Connection, revision: str) -> None:
    """Migrate the schema up or down to `revision`, in the transaction of `connection`."""
    config = alembic_config(connection)
    down = revision == "base" or revision.startswith("-")
    (command.downgrade if down else command.upgrade)(config, revision)


def alembic_config(connection: Connection) -> Config:
    """The configuration with which Alembic works on an open connection."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def schema_of(connection: Connection) -> str | None:
    """The revision of the schema; None if the database was never migrated."""
    return MigrationContext.configure(connection).get_current_revision()


@cache
def schemas() -> tuple[str, ...]:
    """All revisions that this canemap has, newest first. It works with the newest."""
    return tuple(script.revision for script in ScriptDirectory(str(_MIGRATIONS)).walk_revisions())
