"""Row-level security of PostgreSQL, for an ordinary user, who owns the tables, and for a superuser."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, make_url, select, text

from app.core import tenancy
from app.core.db import Database, migrate
from app.settings import Settings
from app.tables import Model
from tests import servers


@pytest.fixture(params=["ordinary", "superuser"])
def database(request: pytest.FixtureRequest, postgres_server: URL, tmp_path: Path) -> Iterator[Database]:
    """A migrated database of a user of this kind."""
    admin = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    user = f"user_{secrets.token_hex(4)}"
    kind = "SUPERUSER" if request.param == "superuser" else "NOSUPERUSER NOCREATEROLE"
    with servers.database(postgres_server) as url, admin.connect() as connection:
        connection.execute(text(f"CREATE ROLE {user} LOGIN PASSWORD 'x' {kind}"))
        connection.execute(text(f'ALTER DATABASE "{make_url(url).database}" OWNER TO {user}'))
        own = make_url(url).set(username=user, password="x").render_as_string(hide_password=False)
        settings = Settings(data_dir=tmp_path, database_url=own)
        migrate(settings)
        migrate(settings)  # again changes nothing
        database = Database(settings.database)
        yield database
        database.close()
        connection.execute(text(f"ALTER ROLE {user} NOLOGIN"))
    admin.dispose()


def test_statements_that_name_no_tenant_see_the_rows_of_one(database: Database) -> None:
    assert database.hides_rows() is True
    for tenant in ("local", "nanning"):
        with tenancy.acting_for(tenant), database.write() as session:
            session.add(Model(name="cane", title=tenant, revision=1))
    for tenant in ("local", "nanning"):
        with tenancy.acting_for(tenant), database.read() as session:
            assert session.scalars(text("SELECT tenant FROM models")).all() == [tenant]
            assert session.scalars(select(Model.title)).all() == [tenant]
    with tenancy.acting_for(tenancy.ALL), database.read() as session:
        assert sorted(session.scalars(select(Model.name))) == ["cane", "nanning/cane"]
