"""Scenes, labels, zones and datasets."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.columns import Base, Owned, OwnedId, keep_as_json, now
from app.requests.data import DatasetRequest
from app.results import PreparedDataset
from app.tables.mixins import Revised, Sized, Titled
from ml.labels.classes import LabelOptions
from ml.labels.inspect import LabelReport
from ml.scenes.inspect import SceneInfo
from ml.zones.inspect import Zone, ZoneReport
from ml.zones.read import ZoneOptions

keep_as_json(
    SceneInfo,
    LabelOptions,
    LabelReport,
    DatasetRequest,
    PreparedDataset,
    ZoneOptions,
    ZoneReport,
    list[Zone],
    list[str],
)


class UploadedFile(Titled, Owned, Revised):
    """An uploaded file with a name.

    sha256: Of the file as it was sent, in hex. object: Key of that file in the store. size_bytes: Of all its files.
    """

    id: Mapped[str] = mapped_column(OwnedId(80), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    object: Mapped[str] = mapped_column(Text)

    @property
    def objects(self) -> tuple[str, ...]:
        """The keys of all its files in the store."""
        return (self.object,)


class Scene(UploadedFile, Base):
    """An uploaded GeoTIFF.

    info: Result of the inspection. west, south, east, north: Bounding box, in degrees.
    """

    __tablename__ = "scenes"

    acquired: Mapped[datetime | None]
    sensor: Mapped[str | None] = mapped_column(String(200))
    nodata: Mapped[float | None]  # as declared with the upload; None if the file's own value counts
    info: Mapped[SceneInfo]
    west: Mapped[float]
    south: Mapped[float]
    east: Mapped[float]
    north: Mapped[float]
    updated: Mapped[datetime] = mapped_column(default=now)

    # has all columns that lists filter by, so that a page is read from the index even if few scenes match
    __table_args__ = (
        Index("ix_scenes_created", "tenant", "created", "id", "west", "south", "east", "north", "acquired"),
    )


class LabelSet(UploadedFile, Base):
    """An uploaded file of labels. options: How the file is read. report: Result of the inspection."""

    __tablename__ = "labels"

    options: Mapped[LabelOptions]
    report: Mapped[LabelReport]
    revision: Mapped[int] = mapped_column(default=1, server_default="1")

    __table_args__ = (Index("ix_labels_created", "tenant", "created", "id"),)


class ZoneSet(UploadedFile, Base):
    """An uploaded layer of zones.

    features: Key of the zones as GeoJSON. options: How the file is read. report: Result of the inspection.
    zones: Each of them.
    """

    __tablename__ = "zones"

    features: Mapped[str] = mapped_column(Text)
    options: Mapped[ZoneOptions]
    report: Mapped[ZoneReport]
    zones: Mapped[list[Zone]] = mapped_column(deferred=True)  # there may be thousands, which lists do not show

    __table_args__ = (Index("ix_zones_created", "tenant", "created", "id"),)

    @property
    def objects(self) -> tuple[str, ...]:
        """The keys of the file as it was sent, and of the zones as GeoJSON."""
        return self.object, self.features


class Dataset(Sized, Titled, Owned, Base):
    """An immutable version of scenes + labels + split; `id` is "name:version" and also the id of its job.

    prepared: result of the job. figures: key of the pictures for the figures. Both are None until the job succeeded.
    """

    __tablename__ = "datasets"

    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    name: Mapped[str] = mapped_column(OwnedId(80))
    version: Mapped[int]
    request: Mapped[DatasetRequest]
    scenes: Mapped[list[str]]
    labels: Mapped[list[str]]
    prepared: Mapped[PreparedDataset | None]
    figures: Mapped[str | None] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (
        Index("ux_datasets_name_version", "name", "version", unique=True),
        Index("ix_datasets_created", "tenant", "created", "id"),
    )


class DatasetScenes(Owned, Base):
    """One scene of a dataset, so that the database keeps the scene while the dataset needs it."""

    __tablename__ = "dataset_scenes"

    dataset: Mapped[str] = mapped_column(ForeignKey("datasets.id"), primary_key=True)
    used: Mapped[str] = mapped_column(ForeignKey("scenes.id"), primary_key=True, index=True)


class DatasetLabels(Owned, Base):
    """One label set of a dataset, so that the database keeps the label set while the dataset needs it."""

    __tablename__ = "dataset_labels"

    dataset: Mapped[str] = mapped_column(ForeignKey("datasets.id"), primary_key=True)
    used: Mapped[str] = mapped_column(ForeignKey("labels.id"), primary_key=True, index=True)
