"""The documents of zone sets."""

from datetime import datetime

from app import tables
from app.api.documents.base import Checksum, Document, Page, Title, checksum
from ml.zones.inspect import ZoneReport
from ml.zones.read import ZoneOptions


class ZoneSet(Document):
    """An uploaded layer of zones. `options` say how it is read, and `report` says what was found in it."""

    id: str
    title: Title
    created: datetime
    size_bytes: int
    checksum: Checksum
    options: ZoneOptions
    report: ZoneReport

    @classmethod
    def of(cls, row: tables.ZoneSet) -> "ZoneSet":
        """The document of the zone set in `row`."""
        return cls(
            id=row.id,
            title=row.title,
            created=row.created,
            size_bytes=row.size_bytes,
            checksum=checksum(row.sha256),
            options=row.options,
            report=row.report,
        )


class ZoneSets(Page[ZoneSet]):
    """A page of zone sets, newest first."""
