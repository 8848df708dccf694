"""The database: one engine, reading and writing transactions, and the version of the schema.

This is the only module that commits.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import ORMExecuteState, Session, UOWTransaction, with_loader_criteria

import migrations
from app.core import tenancy
from app.core.columns import Owned
from app.core.reserve import Reserve
from app.core.room import says_no_room
from app.settings import Settings

_MIGRATIONS = Path(migrations.__file__).parent
# The role in which PostgreSQL runs the transactions of a tenant, if the user of the connection would see all rows.
TENANT_ROLE = "canemap_tenant"
_SET_SCOPE = text("SELECT set_config('canemap.tenant', :scope, true)")
_SET_SCOPE_AND_ROLE = text(f"{_SET_SCOPE}, set_config('role', '{TENANT_ROLE}', true)")
_SEES_ALL_ROWS = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
_MAKE_ROLE = f"""DO $$ BEGIN CREATE ROLE {TENANT_ROLE} NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"""
_RIGHTS = (
    f"GRANT USAGE ON SCHEMA public TO {TENANT_ROLE}",
    f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {TENANT_ROLE}",
    f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {TENANT_ROLE}",
)
_CONTENDED = ("40001", "40P01", "55P03")  # of PostgreSQL: serialization failure, deadlock, lock not available
MIGRATION_LOCK = 0x63616E65  # any number, the same in every process
Result = TypeVar("Result")


@dataclass(frozen=True)
class Connections:
    """How many connections a process holds open, how many more it may open for a time, and seconds to wait for one."""

    kept: int = 10
    more: int = 50  # every thread of the API (40) can have one; others are for those that end and for the background
    wait_s: float = 30


OF_AN_API = Connections()
OF_A_WORKER = Connections(kept=2, more=2)  # of a worker, and of the process of its job: a fleet has hundreds of both


class ScopedSession(Session):
    """A session in the scope in which it was opened: it sees and changes the rows of that tenant alone."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, expire_on_commit=False)
        self.scope = tenancy.current()

    def check_scope(self) -> None:
        """Raise `RuntimeError` in another scope, where the ids of this session would mean other rows."""
        if tenancy.current() != self.scope:
            raise RuntimeError(f"A session of the scope {self.scope!r} is used in {tenancy.current()!r}.")


@event.listens_for(ScopedSession, "do_orm_execute")
def _only_own_rows(state: ORMExecuteState) -> None:
    """Add the tenant to the conditions of each statement."""
    session = state.session
    assert isinstance(session, ScopedSession)
    session.check_scope()
    if session.scope != tenancy.ALL and not (state.is_column_load or state.is_relationship_load):
        tenant = session.scope
        criteria = with_loader_criteria(Owned, lambda table: table.tenant == tenant, include_aliases=True)
        state.statement = state.statement.options(criteria)


@event.listens_for(ScopedSession, "before_flush")
def _flush_in_scope(session: ScopedSession, _context: UOWTransaction, _instances: object) -> None:
    session.check_scope()


@event.listens_for(ScopedSession, "after_begin")
def _tell_the_scope(session: ScopedSession, _transaction: object, connection: Connection) -> None:
    """Name the scope to PostgreSQL, whose row-level security then hides the rows of other tenants once more."""
    if connection.dialect.name == "postgresql":
        as_tenant = session.scope != tenancy.ALL and connection.info.get(TENANT_ROLE)
        connection.execute(_SET_SCOPE_AND_ROLE if as_tenant else _SET_SCOPE, {"scope": session.scope})


class Database:
    """Transactions on the database. `read()` never blocks a writer; `write()` commits at its end or not at all.

    Each works in the scope of the tenant in which it begins.
    """

    def __init__(self, url: str, connections: Connections = Connections()) -> None:
        self.engine = make_engine(url, connections)
        self._writer = self.engine.execution_options(sqlite_begin="IMMEDIATE")
        self._reserve = _reserve_of(self.engine.url)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one consistent state. Changes made in it are not saved."""
        with ScopedSession(self.engine) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that commits when the block ends, and rolls back when it raises."""
        with ScopedSession(self._writer) as session, session.begin():
            yield session

    def erase(self, change: Callable[[Session], Result]) -> Result:
        """Do `change`, which makes room, in a writing transaction. On a full disk it takes the reserved room.

        change: May be called twice, each time with another session; what the first call did is then undone.
        """
        try:
            with self.write() as session:
                return change(session)
        except OperationalError as error:
            if self._reserve is None or not self.is_full(error):
                raise
            self._reserve.release()  # if another process was quicker, its room may do for both
        with self.write() as session:
            return change(session)

    def is_full(self, error: OperationalError) -> bool:
        """Whether `error` says that the disk of the database is full."""
        return says_no_room(error) or _has_no_room(self._reserve, error.orig)

    def is_contended(self, error: OperationalError) -> bool:
        """Whether `error` says that other transactions held what this one needed, and the database gave this one up."""
        locked = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
        return locked or getattr(error.orig, "sqlstate", None) in _CONTENDED

    def hides_rows(self) -> bool | None:
        """Whether the database hides the rows of other tenants from transactions of one; None for SQLite."""
        if self.engine.dialect.name != "postgresql":
            return None
        with self.engine.connect() as connection:
            sees_all = bool(connection.scalar(text(_SEES_ALL_ROWS)))
            return not sees_all or bool(connection.info[TENANT_ROLE])

    def keep_reserve(self) -> None:
        """Reserve room for `erase` if there is none, and enough on the disk. A server of databases has its own disk."""
        if self._reserve:
            self._reserve.keep()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def make_engine(url: str, connections: Connections = Connections()) -> Engine:
    """An engine for the database at `url`. SQLite is configured to be durable and safe for several processes."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        engine = _create_engine(parsed, connections, pool_pre_ping=True, connect_args={"connect_timeout": 10})
        event.listen(engine, "connect", _note_whether_it_sees_all)
        return engine
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = _create_engine(parsed, connections, connect_args={"timeout": 30})
    event.listen(engine, "connect", partial(_open_sqlite, _reserve_of(parsed)))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _create_engine(url: URL, pool: Connections, **options: Any) -> Engine:
    options |= {"pool_size": pool.kept, "max_overflow": pool.more, "pool_timeout": pool.wait_s}
    # JSON is passed on as text: `PydanticJSON` converts it to values directly, without dicts in between
    return create_engine(url, hide_parameters=True, json_serializer=_unchanged, json_deserializer=_unchanged, **options)


def _unchanged(text: Any) -> Any:
    return text


def _reserve_of(url: URL) -> Reserve | None:
    """The reserve beside the file of a database, or None if the database is no file on this machine."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database.startswith((":memory:", "file:")):
        return None
    return Reserve(Path(f"{url.database}-reserve"))


def _has_no_room(reserve: Reserve | None, error: BaseException | None) -> bool:
    """Whether SQLite could not use a file, for which there are many reasons, and the disk is full."""
    unusable = getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
    return unusable and reserve is not None and reserve.disk_is_full()


def _note_whether_it_sees_all(connection: Any, record: Any) -> None:
    """Remember whether transactions of a tenant need `TENANT_ROLE`, because this user is above row-level security."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT ({_SEES_ALL_ROWS}) AND EXISTS (SELECT FROM pg_roles WHERE rolname = '{TENANT_ROLE}')")
        record.info[TENANT_ROLE] = cursor.fetchone()[0]
    connection.rollback()


def _open_sqlite(reserve: Reserve | None, connection: Any, _record: Any) -> None:
    """Configure a connection. The first one of all processes needs room on the disk, also to read."""
    try:
        _configure_sqlite(connection)
    except sqlite3.OperationalError as error:
        if reserve is None or not _has_no_room(reserve, error):
            raise
        reserve.release()
        _configure_sqlite(connection)


def _configure_sqlite(connection: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions: `_begin_sqlite` does
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("PRAGMA temp_store=MEMORY")  # a job's sandbox forbids the folder that SQLite would use


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
                connection.execute(_SET_SCOPE, {"scope": tenancy.ALL})
            run_alembic(connection, revision)
            if connection.dialect.name == "postgresql" and connection.scalar(text(_SEES_ALL_ROWS)):
                for statement in (_MAKE_ROLE, *_RIGHTS):
                    connection.execute(text(statement))
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
