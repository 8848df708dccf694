"""Predictions, their parts, and their areas by zone."""

from datetime import datetime

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.columns import Base, Owned, OwnedId, keep_as_json, now
from app.results import MappedAreas
from app.storage import Stored
from app.tables.mixins import Sized, Software, Titled
from ml.config import PredictConfig
from ml.zones.areas import ClassesByZone

keep_as_json(PredictConfig, dict[str, Stored], MappedAreas, ClassesByZone, Software)


class Prediction(Sized, Titled, Owned, Base):
    """The map of one scene, made by one model version; `id` is also the id of its job.

    products: Files of the result, by their names. areas: Areas of the map. software: What made the map. All are None
        until the job succeeded.
    """

    __tablename__ = "predictions"

    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    scene: Mapped[str] = mapped_column(ForeignKey("scenes.id"))
    model: Mapped[str] = mapped_column(OwnedId(80, shared=True))
    version: Mapped[int]
    config: Mapped[PredictConfig]
    products: Mapped[dict[str, Stored] | None]
    areas: Mapped[MappedAreas | None]
    software: Mapped[Software | None]
    created: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (
        ForeignKeyConstraint(["model", "version"], ["model_versions.name", "model_versions.version"]),
        Index("ix_predictions_created", "tenant", "created", "id", "scene"),
        Index("ix_predictions_scene", "scene", "created", "id"),
        Index("ix_predictions_model", "model", "version"),
    )


class Part(Owned, Base):
    """A part of a prediction: some rows of its map, which one job makes; `id` is also the id of that job.

    first_row, end_row: The rows from `first_row` to before `end_row`.
    object: Key in the store of the file that `ml.nn.prediction.predict.predict_rows` made. software: What made it.
        Both are None until the job succeeded.
    """

    __tablename__ = "parts"

    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    prediction: Mapped[str] = mapped_column(ForeignKey("predictions.id"), index=True)
    first_row: Mapped[int]
    end_row: Mapped[int]
    object: Mapped[str | None] = mapped_column(Text)
    software: Mapped[Software | None]


class ZoneAreas(Owned, Base):
    """What the map of a prediction has in each zone of a set: measured when it is asked for first, and then kept."""

    __tablename__ = "zone_areas"

    prediction: Mapped[str] = mapped_column(ForeignKey("predictions.id", ondelete="CASCADE"), primary_key=True)
    zones: Mapped[str] = mapped_column(ForeignKey("zones.id", ondelete="CASCADE"), primary_key=True, index=True)
    classes: Mapped[ClassesByZone]
