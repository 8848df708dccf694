"""The documents of label sets."""

from datetime import datetime

from app import tables
from app.api.documents.base import Checksum, Document, Page, Title, checksum
from ml.labels.classes import LabelOptions
from ml.labels.inspect import LabelReport


class LabelSet(Document):
    """An uploaded layer of labels. `options` say how it is read, and `report` says what was found in it."""

    id: str
    title: Title
    created: datetime
    size_bytes: int
    checksum: Checksum
    options: LabelOptions
    report: LabelReport

    @classmethod
    def of(cls, row: tables.LabelSet) -> "LabelSet":
        """The document of the label set in `row`."""
        return cls(
            id=row.id,
            title=row.title,
            created=row.created,
            size_bytes=row.size_bytes,
            checksum=checksum(row.sha256),
            options=row.options,
            report=row.report,
        )


class LabelSets(Page[LabelSet]):
    """A page of label sets, newest first."""
