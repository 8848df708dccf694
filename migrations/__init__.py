"""The history of the schema (Alembic). Run by `canemap migrate` and by `canemap up`."""
