"""Many scenes as one mosaic, its areas by zone, and the change between two."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.core.columns import Base, Owned, OwnedId, keep_as_json, now
from app.requests.mapping import SurveyOptions
from app.storage import Stored
from app.tables.mixins import Sized, Titled
from ml.surveys.change import Transitions
from ml.surveys.mosaic import Mosaic
from ml.zones.areas import ClassesByZone

keep_as_json(SurveyOptions, dict[str, Stored], Mosaic, Transitions, ClassesByZone)


class Survey(Sized, Titled, Owned, Base):
    """The maps of many scenes as one mosaic; `id` is also the id of its job.

    options: How it is made. products: Files of the result, by their names.
    mosaic: What they hold, without its scenes, which are rows. Both are None until the job succeeded.
    """

    __tablename__ = "surveys"

    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    model: Mapped[str] = mapped_column(OwnedId(80, shared=True))
    version: Mapped[int]
    options: Mapped[SurveyOptions]
    products: Mapped[dict[str, Stored] | None]
    mosaic: Mapped[Mosaic | None]
    created: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (
        ForeignKeyConstraint(["model", "version"], ["model_versions.name", "model_versions.version"]),
        Index("ix_surveys_created", "tenant", "created", "id"),
        Index("ix_surveys_model", "model", "version"),
    )


class SurveyScene(Owned, Base):
    """One scene of a survey, with the prediction that maps it.

    number: Its place in the survey, from 1 on, which is also its value in sources.tif. pixels, area_ha: Those of the
    mosaic that come from it; None until the job succeeded.
    """

    __tablename__ = "survey_scenes"

    survey: Mapped[str] = mapped_column(ForeignKey("surveys.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    prediction: Mapped[str] = mapped_column(ForeignKey("predictions.id"), index=True)
    pixels: Mapped[int | None] = mapped_column(BigInteger)
    area_ha: Mapped[float | None]


class SurveyZoneAreas(Owned, Base):
    """What the mosaic of a survey has in each zone of a set, as `ZoneAreas` has it of a prediction."""

    __tablename__ = "survey_zone_areas"

    survey: Mapped[str] = mapped_column(ForeignKey("surveys.id", ondelete="CASCADE"), primary_key=True)
    zones: Mapped[str] = mapped_column(ForeignKey("zones.id", ondelete="CASCADE"), primary_key=True, index=True)
    classes: Mapped[ClassesByZone]


class SurveyChange(Owned, Base):
    """How the mosaics of two surveys differ, measured when it is asked for first. zones: None for the whole ground."""

    __tablename__ = "survey_changes"

    id: Mapped[int] = mapped_column(primary_key=True)
    survey: Mapped[str] = mapped_column(ForeignKey("surveys.id", ondelete="CASCADE"))
    earlier: Mapped[str] = mapped_column(ForeignKey("surveys.id", ondelete="CASCADE"), index=True)
    zones: Mapped[str | None] = mapped_column(ForeignKey("zones.id", ondelete="CASCADE"), index=True)
    transitions: Mapped[Transitions]

    __table_args__ = (Index("ix_survey_changes", "survey", "earlier"),)
