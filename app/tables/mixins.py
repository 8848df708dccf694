"""What several tables have in common."""

from datetime import datetime

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.columns import now
from app.core.preconditions import tag_of

Software = dict[str, str]  # what made a result, as `ml.provenance` and docs/http-api.md name it


class Revised:
    """A row that changes. revision: Grows with each change."""

    created: Mapped[datetime] = mapped_column(default=now)
    revision: Mapped[int] = mapped_column(default=1)

    @property
    def tag(self) -> str:
        """The ETag. A row that is made again with the same id has another one."""
        return tag_of(self.created, self.revision)


class Titled:
    """A row that can have a title: a name for people, in any script; None without one."""

    title: Mapped[str | None] = mapped_column(String(200))


class Sized:
    """A row that names files in the store. size_bytes: Of all these files."""

    size_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
