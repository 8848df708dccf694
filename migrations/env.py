"""The environment script of Alembic. It works on the connection that `app.core.db` passes to it."""

from alembic import context

from app.core.columns import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite cannot alter a column in place
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
