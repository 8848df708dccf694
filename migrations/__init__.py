"""The history of the schema, as migrations of Alembic. `canemap migrate` and `canemap up` apply them."""
