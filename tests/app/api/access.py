"""Keys for the tests of who may do what."""

from datetime import timedelta

from app.access import keys, tenants
from app.core import tenancy
from app.core.db import Database
from app.requests.access import Scope
from app.settings import Settings

OTHER = "nanning"  # a tenant beside "local"


def make_key(
    settings: Settings, tenant: str = "local", scope: Scope = "admin", lifetime: timedelta | None = None
) -> str:
    """A new key of a tenant, which is made if there is none of this name."""
    database = Database(settings.database)
    with tenancy.acting_for(tenancy.ALL), database.write() as session:
        tenants.ensure(session, tenant)
        made = keys.create(session, tenant, f"{tenant} {scope}", scope, lifetime)
    database.close()
    return made.text


def showing(key: str) -> dict[str, str]:
    """The headers of a request that shows a key."""
    return {"Authorization": f"Bearer {key}"}
