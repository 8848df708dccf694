"""Probability samples of maps, and the answers to them."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.columns import Base, Owned, OwnedId, keep_as_json, now
from app.tables.mixins import Titled
from ml.sampling.design import Design, DrawnSample, SamplePoint
from ml.zones.locating import PlacesByZone

keep_as_json(Design, DrawnSample, list[SamplePoint], PlacesByZone)


class Sample(Titled, Owned, Base):
    """A probability sample of a map; `id` is also the id of its job.

    prediction, survey: Whose map it is; one of both is None. zones: The zone set in each of whose zones it was drawn;
    None without. drawn, points: The result; None until the job succeeded. The points are read only where they are
    needed.
    """

    __tablename__ = "samples"

    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    prediction: Mapped[str | None] = mapped_column(ForeignKey("predictions.id"), index=True)
    survey: Mapped[str | None] = mapped_column(ForeignKey("surveys.id"), index=True)
    zones: Mapped[str | None] = mapped_column(OwnedId(80), index=True)
    design: Mapped[Design]
    drawn: Mapped[DrawnSample | None]
    points: Mapped[list[SamplePoint] | None] = mapped_column(deferred=True)
    created: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (
        Index("ix_samples_created", "tenant", "created", "id"),
        CheckConstraint("(prediction IS NULL) <> (survey IS NULL)", name="ck_samples_map"),
    )


class SampleAnswer(Owned, Base):
    """What a labeller has found at a point of a sample. A later answer takes the place of an earlier one, which stays.

    value: Value of the class; None if the point is unusable, for the reason in `unusable`.
    """

    __tablename__ = "sample_answers"

    id: Mapped[int] = mapped_column(primary_key=True)
    sample: Mapped[str] = mapped_column(ForeignKey("samples.id", ondelete="CASCADE"))
    point: Mapped[int]
    labeller: Mapped[str] = mapped_column(String(80))
    value: Mapped[int | None]
    unusable: Mapped[str | None] = mapped_column(String(200))
    at: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (Index("ix_sample_answers", "sample", "id"),)


class SampleZones(Owned, Base):
    """Which points of a sample lie in each zone of a set: found when it is asked for first, and then kept."""

    __tablename__ = "sample_zones"

    sample: Mapped[str] = mapped_column(ForeignKey("samples.id", ondelete="CASCADE"), primary_key=True)
    zones: Mapped[str] = mapped_column(ForeignKey("zones.id", ondelete="CASCADE"), primary_key=True, index=True)
    places: Mapped[PlacesByZone]
