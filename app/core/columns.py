"""Column types: times in UTC, and JSON that is a typed value in Python."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from pydantic import TypeAdapter
from sqlalchemy import JSON, DateTime, Dialect, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeEngine


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC. Python sees a datetime with its time zone, also on SQLite, which does not store time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert a time to UTC for the database."""
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Read a time from the database. SQLite returns it without a time zone; it was written in UTC."""
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)


class PydanticJSON(TypeDecorator[Any]):
    """JSON in the database, a value of the type `kind` in Python.

    kind: a pydantic model, a dataclass, or a dict, list or tuple of them. A value that is written is validated first,
    so it may also be a dict for a model. The engine must pass JSON on as text; `app.core.db` makes it do so.
    None is stored as NULL; a JSON null, which older rows hold, is read as None.

    Raises ValidationError for a value, or for JSON in the database, that is not of `kind`.
    """

    impl = JSON
    cache_ok = True
    hashable = False

    def __init__(self, kind: Any) -> None:
        super().__init__(none_as_null=True)
        self.kind = kind
        self._adapter = TypeAdapter[Any](kind)

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The column's type in the database: JSONB on PostgreSQL, otherwise JSON."""
        kind = JSONB if dialect.name == "postgresql" else JSON
        return dialect.type_descriptor(kind(none_as_null=True))

    def coerce_compared_value(self, op: Any, value: Any) -> TypeEngine[Any]:
        """The type of the key in `column["key"]`, which is the one that JSON has and not this type."""
        return self.impl_instance.coerce_compared_value(op, value)

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Validate a value and convert it to JSON text for the database."""
        if value is None:
            return None
        return self._adapter.dump_json(self._adapter.validate_python(value)).decode()

    def process_result_value(self, value: str | bytes | None, dialect: Dialect) -> Any:
        """Read a value from JSON text, directly and without dicts in between."""
        return None if value in (None, "null", b"null") else self._adapter.validate_json(value)


class Base(DeclarativeBase):
    """Base class of all tables."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: UtcDateTime()}


def now() -> datetime:
    """The current time, in UTC."""
    return datetime.now(UTC)
