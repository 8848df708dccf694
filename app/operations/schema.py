"""Whether the schema of the database is one that this canemap can use."""

from app.core.db import Database, schema_of, schemas
from ml.faults import Fault

MIGRATE = "canemap migrate"


def schema_fault(database: Database) -> Fault | None:
    """The fault of a schema that is missing or too old; None if there is no fault.

    A newer schema is no fault: during an update, the new canemap migrates before the last old process has ended.

    Raises SQLAlchemyError when the database cannot be reached.
    """
    with database.engine.connect() as connection:
        found = schema_of(connection)
    if found is None:
        return Fault("schema", "The database has no schema yet.", MIGRATE)
    if found in schemas()[1:]:
        return Fault("schema", f"The database's schema is {found}, older than {schemas()[0]}.", MIGRATE)
    return None
