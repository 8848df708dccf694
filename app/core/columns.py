"""What columns hold: moments in UTC, and JSON that is a typed value in Python."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from pydantic import TypeAdapter
from sqlalchemy import JSON, DateTime, Dialect, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeEngine


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, always in UTC and aware of it, also on SQLite, which forgets time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database: in UTC."""
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database: SQLite's naive value was written in UTC."""
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)


class PydanticJSON(TypeDecorator[Any]):
    """JSON that is a value of `kind` in Python: a pydantic model, a dataclass, or a dict, list or tuple of such.

    What is written may also be what `kind` validates, like a dict for a model. The engine must hand JSON over as text,
    which `app.core.db` sees to. None is NULL; a JSON null, which older rows hold, is read as None.

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
        """JSONB on PostgreSQL, else JSON."""
        kind = JSONB if dialect.name == "postgresql" else JSON
        return dialect.type_descriptor(kind(none_as_null=True))

    def coerce_compared_value(self, op: Any, value: Any) -> TypeEngine[Any]:
        """The type of the key in `column["key"]`: JSON's, not this one."""
        return self.impl_instance.coerce_compared_value(op, value)

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """To the database: as text."""
        if value is None:
            return None
        return self._adapter.dump_json(self._adapter.validate_python(value)).decode()

    def process_result_value(self, value: str | bytes | None, dialect: Dialect) -> Any:
        """From the database: straight from the text, without dicts in between."""
        return None if value in (None, "null", b"null") else self._adapter.validate_json(value)


class Base(DeclarativeBase):
    """What all tables share."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: UtcDateTime()}


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)
