"""Column types: times in UTC, JSON that is a typed value in Python, and ids that belong to a tenant."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import JSON, DateTime, Dialect, String, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.sql.dml import ValuesBase
from sqlalchemy.types import TypeEngine

from app.core import tenancy

TENANT_LENGTH = 32  # most characters of a tenant's id


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


class UnreadableRow(ValueError):
    """JSON in the database is not of the type that this process expects: a newer canemap has written it."""


class PydanticJSON(TypeDecorator[Any]):
    """JSON in the database, a value of the type `kind` in Python.

    kind: a pydantic model, a dataclass, or a dict, list or tuple of them. A value that is written is validated first,
    so it may also be a dict for a model. The engine must pass JSON on as text; `app.core.db` makes it do so.
    None is stored as NULL; a JSON null, which older rows hold, is read as None.

    Raises `ValidationError` for a value that is not of `kind`, and `UnreadableRow` for such JSON in the database.
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
        if value in (None, "null", b"null"):
            return None
        try:
            return self._adapter.validate_json(value)
        except ValidationError as error:
            raise UnreadableRow(str(error)) from error


class OwnedId(TypeDecorator[str]):
    """A name or an id of a tenant: whole in the database, plain in Python (`app.core.tenancy`).

    length: of the longest plain id. Only PostgreSQL keeps to it. shared: Whether it can also name what another tenant
    has, like "province~cane".
    """

    impl = String
    cache_ok = True

    def __init__(self, length: int, *, shared: bool = False) -> None:
        super().__init__(length)
        self.length, self.shared = length, shared

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The column's type in the database. PostgreSQL needs room for each tenant; SQLite never limits a length."""
        tenants = (1 + self.shared) if dialect.name == "postgresql" else 0
        return dialect.type_descriptor(String(self.length + tenants * (TENANT_LENGTH + 1)))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Add the tenant of the current scope."""
        return None if value is None else tenancy.whole(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Leave the tenant of the current scope out."""
        return None if value is None else tenancy.plain(value)


class Base(DeclarativeBase):
    """Base class of all tables."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: UtcDateTime()}


def keep_as_json(*kinds: Any) -> None:
    """Let columns hold values of these types, as JSON. kinds: as `PydanticJSON` takes them."""
    Base.registry.update_type_annotation_map({kind: PydanticJSON(kind) for kind in kinds})


def _tenant_of_row(context: DefaultExecutionContext) -> str:
    """The tenant of a row that is inserted, which each of its ids names."""
    statement = context.compiled.statement if context.compiled else None
    assert isinstance(statement, ValuesBase)
    row = context.get_current_parameters()  # type: ignore[no-untyped-call]
    ids = (row.get(column.key) for column in statement.table.columns if isinstance(column.type, OwnedId))
    return tenancy.tenant_of(tenancy.whole(next(id_ for id_ in ids if id_ is not None)))


class Owned:
    """A row that belongs to a tenant. Sessions of another tenant's scope neither see nor change it."""

    tenant: Mapped[str] = mapped_column(
        String(TENANT_LENGTH), default=_tenant_of_row, server_default=tenancy.LOCAL, sort_order=-1
    )


def now() -> datetime:
    """The current time, in UTC."""
    return datetime.now(UTC)
