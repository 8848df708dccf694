"""Migrations and transactions, on both databases."""

import json
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, select, text, update

from app.core.columns import Base
from app.core.db import Database, make_engine, migrate
from app.jobs import lifecycle
from app.services import Services
from app.settings import Settings
from app.tables import Job, LabelSet, ModelVersion
from migrations import versions


def test_the_migrated_schema_is_the_one_that_the_tables_describe(settings: Settings) -> None:
    engine = make_engine(settings.database)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_a_downgrade_drops_all_tables_and_an_upgrade_creates_them_again(settings: Settings) -> None:
    migrate(settings, "base")
    assert _tables(settings) == {"alembic_version"}
    migrate(settings)
    assert _tables(settings) == {*Base.metadata.tables, "alembic_version"}


def test_each_migration_can_be_undone_and_repeated(settings: Settings) -> None:
    revisions = sorted(path.name[:4] for path in Path(versions.__path__[0]).glob("0*.py"))
    for _ in revisions:
        migrate(settings, "-1")
    assert _tables(settings) == {"alembic_version"}
    for revision in revisions:
        migrate(settings, revision)
    test_the_migrated_schema_is_the_one_that_the_tables_describe(settings)


def test_blocks_of_versions_without_details_are_moved_there_and_back(services: Services, settings: Settings) -> None:
    for revision in ("base", "0006"):
        migrate(settings, revision)
    kept = {"metrics": "{}", "contract": "{}", "config": "{}", "versions": "{}", "test_blocks": "[[[3, 1], [0, 4]]]"}
    stored = {"object": "'m'", "sha256": "'0'", "size_bytes": "1", "created": "'2026-01-01 00:00:00'"}
    documents = {name: f"'{document}'" for name, document in kept.items()}
    row = {"name": "'m'", "version": "1", **stored, **documents}
    with services.database.engine.begin() as connection:
        connection.execute(text(f"INSERT INTO model_versions ({', '.join(row)}) VALUES ({', '.join(row.values())})"))
    migrate(settings, "0007")
    with services.database.engine.connect() as connection:
        details = connection.scalar(select(ModelVersion.details))
    assert details is not None
    assert details["test"].confusions == (((3, 1), (0, 4)),)
    migrate(settings, "-1")
    with services.database.engine.connect() as connection:
        blocks = connection.scalar(text("SELECT CAST(test_blocks AS TEXT) FROM model_versions"))
    assert json.loads(str(blocks)) == [[[3, 1], [0, 4]]]


def test_what_was_stored_before_titles_has_none_and_its_first_revision(services: Services, settings: Settings) -> None:
    for revision in ("base", "0011"):
        migrate(settings, revision)
    columns = "id, sha256, size_bytes, object, options, report, created"
    values = "'plots', '0', 1, 'k', '{}', '{}', '2026-01-01 00:00:00'"
    with services.database.engine.begin() as connection:
        connection.execute(text(f"INSERT INTO labels ({columns}) VALUES ({values})"))
    migrate(settings, "0012")
    with services.database.engine.begin() as connection:
        assert connection.execute(select(LabelSet.title, LabelSet.revision)).one() == (None, 1)
        connection.execute(update(LabelSet).values(title="武鸣"))
    for revision in ("-1", "0012"):
        migrate(settings, revision)
    with services.database.engine.connect() as connection:
        assert connection.execute(select(LabelSet.id, LabelSet.title)).one() == ("plots", None)


def test_three_migrations_at_the_same_time_wait_for_each_other(database_url: str, settings: Settings) -> None:
    migrate(settings, "base")
    errors: list[Exception] = []

    def run() -> None:
        try:
            migrate(settings)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert "jobs" in _tables(settings)


def test_a_failing_transaction_writes_nothing(services: Services) -> None:
    with pytest.raises(RuntimeError), services.database.write() as session:
        lifecycle.create(session, "trn_1", "training")
        raise RuntimeError
    with services.database.read() as session:
        assert session.get(Job, "trn_1") is None


def test_reading_never_waits_for_a_writer(services: Services) -> None:
    with services.database.write() as writing:
        lifecycle.create(writing, "trn_1", "training")
        with services.database.read() as reading:
            assert reading.get(Job, "trn_1") is None


def test_sqlite_is_configured_for_power_cuts_and_many_processes(tmp_path: object) -> None:
    database = Database(f"sqlite:///{tmp_path}/registry.db")
    with database.read() as session:
        assert session.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert session.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL
        assert session.execute(text("PRAGMA foreign_keys")).scalar() == 1
    database.close()


def _tables(settings: Settings) -> set[str]:
    engine = make_engine(settings.database)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_every_thread_of_the_api_can_have_a_connection(services: Services) -> None:
    with ExitStack() as stack:
        connections = [stack.enter_context(services.database.engine.connect()) for _ in range(50)]
        assert len({id(connection.connection.dbapi_connection) for connection in connections}) == 50
