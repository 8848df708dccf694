"""The tables. The row is the truth: about scenes, jobs and models alike."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    String,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


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


Document = dict[str, Any]


class Base(DeclarativeBase):
    """What all tables share: the mapping of Python types to columns."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime(),
        Document: JSON().with_variant(JSONB(), "postgresql"),
        list[str]: JSON().with_variant(JSONB(), "postgresql"),
        list[Any]: JSON().with_variant(JSONB(), "postgresql"),
    }


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


class Scene(Base):
    """An uploaded GeoTIFF. info: `ml.scenes.inspect.SceneInfo`; object: the key of its bytes in the store."""

    __tablename__ = "scenes"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    object: Mapped[str] = mapped_column(Text)
    acquired: Mapped[datetime | None]
    sensor: Mapped[str | None] = mapped_column(String(200))
    nodata: Mapped[float | None]  # as declared by the uploader; None: believe the file
    info: Mapped[Document]
    west: Mapped[float]
    south: Mapped[float]
    east: Mapped[float]
    north: Mapped[float]
    created: Mapped[datetime] = mapped_column(default=now)
    updated: Mapped[datetime] = mapped_column(default=now)
    revision: Mapped[int] = mapped_column(default=1)

    # with all that lists filter by: a page is found in the index, however few scenes match
    __table_args__ = (Index("ix_scenes_created", "created", "id", "west", "south", "east", "north", "acquired"),)


class LabelSet(Base):
    """An uploaded layer of truth. options: `LabelOptions`; report: `LabelReport` of `ml.labels.inspect`."""

    __tablename__ = "labels"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    object: Mapped[str] = mapped_column(Text)
    options: Mapped[Document]
    report: Mapped[Document]
    created: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (Index("ix_labels_created", "created", "id"),)


_HAS_PARENT = text("parent IS NOT NULL")  # most have none


class Job(Base):
    """One piece of work and its state; see `app.jobs.lifecycle` for who may move it where.

    attempt: how often it was claimed, and the fencing token of each write of a worker. beat_seq: grows while its worker
    lives. revision: grows with each change. failures: how many workers died on it. parent: the job of the experiment
    that it is a run of, or of the prediction that it is a part of; that one cannot be claimed before all its runs have
    ended.
    """

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(100), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    parent: Mapped[str | None] = mapped_column(String(100))
    status: Mapped[str] = mapped_column(String(12), default="accepted")
    attempt: Mapped[int] = mapped_column(default=0)
    beat_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    failures: Mapped[int] = mapped_column(default=0)
    revision: Mapped[int] = mapped_column(BigInteger, default=1)
    dismissal_requested: Mapped[bool] = mapped_column(default=False)
    stage: Mapped[str] = mapped_column(String(40), default="")
    done: Mapped[int] = mapped_column(BigInteger, default=0)
    total: Mapped[int] = mapped_column(BigInteger, default=0)
    eta_s: Mapped[float | None]
    message: Mapped[str] = mapped_column(Text, default="")
    error: Mapped[Document | None]
    created: Mapped[datetime] = mapped_column(default=now)
    started: Mapped[datetime | None]
    finished: Mapped[datetime | None]
    updated: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (
        Index("ix_jobs_created", "created", "id"),
        Index("ix_jobs_kind", "kind", "created", "id"),
        Index("ix_jobs_status", "status", "created", "id"),
        Index("ix_jobs_status_kind", "status", "kind", "created", "id"),
        Index("ix_jobs_parent", "parent", postgresql_where=_HAS_PARENT, sqlite_where=_HAS_PARENT),
    )


class JobLog(Base):
    """One line of a job's own log."""

    __tablename__ = "job_log"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    attempt: Mapped[int]
    at: Mapped[datetime] = mapped_column(default=now)
    text: Mapped[str] = mapped_column(Text)


class Dataset(Base):
    """An immutable version of scenes + labels + split; `id` is "name:version" and also the id of its job.

    prepared: what the job found (`ml.datasets.prepare`), with the keys of the masks; None until then. figures: key of
    the pictures for its figures.
    """

    __tablename__ = "datasets"

    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    version: Mapped[int]
    request: Mapped[Document]
    scenes: Mapped[list[str]]
    labels: Mapped[list[str]]
    prepared: Mapped[Document | None]
    figures: Mapped[str | None] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (
        Index("ux_datasets_name_version", "name", "version", unique=True),
        Index("ix_datasets_created", "created", "id"),
    )


class Training(Base):
    """A training; `id` is also the id of its job.

    register_as: "" when what comes out is not to be registered. experiment, variant: of a run of an experiment.
    header: of its checkpoint (`ml.checkpoint_header`); figures: key of the pictures for its figures; None until then.
    """

    __tablename__ = "trainings"

    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    dataset: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    register_as: Mapped[str] = mapped_column(String(80))
    config: Mapped[Document]
    version: Mapped[int | None]
    experiment: Mapped[str | None] = mapped_column(String(100), index=True)
    variant: Mapped[str | None] = mapped_column(String(80))
    header: Mapped[Document | None]
    figures: Mapped[str | None] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (Index("ix_trainings_created", "created", "id"),)


class Experiment(Base):
    """Variants x seeds on one dataset; `id` is also the id of its job, and each run is a training of its own.

    comparison: `ml.evaluation.comparison.Comparison` of the split `compared_on`; None until the job succeeded.
    """

    __tablename__ = "experiments"

    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    dataset: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    request: Mapped[Document]
    comparison: Mapped[Document | None]
    created: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (Index("ix_experiments_created", "created", "id"),)


class SeriesRow(Base):
    """What one epoch of a training measured."""

    __tablename__ = "series"

    training: Mapped[str] = mapped_column(ForeignKey("trainings.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    values: Mapped[Document]


class ModelVersion(Base):
    """A registered checkpoint. metrics, test_blocks, contract, config, versions: as in its checkpoint's header."""

    __tablename__ = "model_versions"

    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    training: Mapped[str | None] = mapped_column(ForeignKey("trainings.id"))
    dataset: Mapped[str | None] = mapped_column(String(100))
    metrics: Mapped[Document]
    test_blocks: Mapped[list[Any]]
    contract: Mapped[Document]
    config: Mapped[Document]
    versions: Mapped[Document]  # of the software that made it
    details: Mapped[Document | None]  # by split: `ml.evaluation.assessment.Assessment`
    report: Mapped[Document | None]  # `ml.evaluation.report.TrainReport`
    dataset_sha256: Mapped[str | None] = mapped_column(String(64))
    object: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created: Mapped[datetime] = mapped_column(default=now)


class Alias(Base):
    """A movable name for a version of a model."""

    __tablename__ = "aliases"

    model: Mapped[str] = mapped_column(String(80), primary_key=True)
    alias: Mapped[str] = mapped_column(String(80), primary_key=True)
    version: Mapped[int]
    updated: Mapped[datetime] = mapped_column(default=now)
    revision: Mapped[int] = mapped_column(default=1)

    __table_args__ = (ForeignKeyConstraint(["model", "version"], ["model_versions.name", "model_versions.version"]),)


class AliasMove(Base):
    """One move of an alias, for ever; version None: it was removed."""

    __tablename__ = "alias_moves"

    id: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(String(80))
    alias: Mapped[str] = mapped_column(String(80))
    version: Mapped[int | None]
    reason: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (Index("ix_alias_moves", "model", "alias", "id"),)


class Evaluation(Base):
    """One model version scored on one split of a dataset; `id` is also the id of its job.

    metrics: `ml.evaluation.metrics.Metrics`; details: `ml.evaluation.assessment.Assessment`; software: what made them;
    None until the job succeeded.
    """

    __tablename__ = "evaluations"

    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    model: Mapped[str] = mapped_column(String(80))
    version: Mapped[int]
    dataset: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    split: Mapped[str] = mapped_column(String(5))
    metrics: Mapped[Document | None]
    details: Mapped[Document | None]
    software: Mapped[Document | None]
    created: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (
        ForeignKeyConstraint(["model", "version"], ["model_versions.name", "model_versions.version"]),
        Index("ix_evaluations_model", "model", "version", "created", "id"),
    )


class Part(Base):
    """Some rows of a prediction's map, worked on as a job of its own; `id` is also the id of that job.

    object: the rows in the store, as `ml.nn.prediction.predict.predict_rows` made them; None until the job succeeded.
    """

    __tablename__ = "parts"

    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    prediction: Mapped[str] = mapped_column(ForeignKey("predictions.id"), index=True)
    first_row: Mapped[int]
    end_row: Mapped[int]
    object: Mapped[str | None] = mapped_column(Text)


class Schedule(Base):
    """Retraining by the clock. training: `TrainingRequest`; promote: `PromoteRequest`, None: nothing is promoted.

    due: when it is to run next, None while it is disabled. Whoever moves `due` on makes the run, in one transaction.
    """

    __tablename__ = "schedules"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    cron: Mapped[str] = mapped_column(String(200))
    timezone: Mapped[str] = mapped_column(String(80))
    training: Mapped[Document]
    promote: Mapped[Document | None]
    enabled: Mapped[bool] = mapped_column(default=True)
    due: Mapped[datetime | None] = mapped_column(index=True)
    created: Mapped[datetime] = mapped_column(default=now)
    updated: Mapped[datetime] = mapped_column(default=now)
    revision: Mapped[int] = mapped_column(default=1)

    __table_args__ = (Index("ix_schedules_created", "created", "id"),)


_IS_OPEN = text("finished IS NULL")  # few are


class ScheduleRun(Base):
    """One time that a schedule was due; `app.schedules.schedule_runs` says what its statuses mean.

    missed: how many earlier times this run also stands for, because nothing ran then. promote: as the schedule had it
    when the run began. training: its job, None for a run that was skipped or refused. evaluations: of the versions that
    the new one had to be compared with. verdict: `app.schedules.gate.Verdict`. error: a problem document. finished:
    None while it goes on.
    """

    __tablename__ = "schedule_runs"

    id: Mapped[str] = mapped_column(String(100), primary_key=True)
    schedule: Mapped[str] = mapped_column(ForeignKey("schedules.id", ondelete="CASCADE"))
    due: Mapped[datetime]
    trigger: Mapped[str] = mapped_column(String(10))
    missed: Mapped[int] = mapped_column(default=0)
    status: Mapped[str] = mapped_column(String(12))
    message: Mapped[str] = mapped_column(Text, default="")
    promote: Mapped[Document | None]
    training: Mapped[str | None] = mapped_column(ForeignKey("trainings.id"), index=True)
    evaluations: Mapped[list[str]] = mapped_column(default=list)
    verdict: Mapped[Document | None]
    error: Mapped[Document | None]
    created: Mapped[datetime] = mapped_column(default=now)
    finished: Mapped[datetime | None]

    __table_args__ = (
        Index("ux_schedule_runs_due", "schedule", "due", unique=True),
        Index("ix_schedule_runs_created", "schedule", "created", "id"),
        Index("ix_schedule_runs_open", "schedule", postgresql_where=_IS_OPEN, sqlite_where=_IS_OPEN),
    )


class Prediction(Base):
    """One scene mapped by one model version; `id` is also the id of its job.

    products: file name -> {object, sha256, size_bytes}; areas: hectares by class; software: what made it; None until
    the job succeeded.
    """

    __tablename__ = "predictions"

    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    scene: Mapped[str] = mapped_column(ForeignKey("scenes.id"))
    model: Mapped[str] = mapped_column(String(80))
    version: Mapped[int]
    config: Mapped[Document]
    products: Mapped[Document | None]
    areas: Mapped[Document | None]
    software: Mapped[Document | None]
    created: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (
        ForeignKeyConstraint(["model", "version"], ["model_versions.name", "model_versions.version"]),
        Index("ix_predictions_created", "created", "id", "scene"),
        Index("ix_predictions_scene", "scene", "created", "id"),
    )


class IdempotencyKey(Base):
    """The first use of an Idempotency-Key: which request it came with, and what that made."""

    __tablename__ = "idempotency_keys"

    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    resource: Mapped[str] = mapped_column(String(100))
    created: Mapped[datetime] = mapped_column(default=now)


class Worker(Base):
    """A worker process that lives, or did a moment ago. For /readyz only: no decision about a job hangs on it."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    queues: Mapped[list[str]]
    seen: Mapped[datetime] = mapped_column(default=now)
