"""The tables. The row is the truth: about scenes, jobs and models alike."""

from datetime import datetime

from sqlalchemy import BigInteger, Computed, ForeignKey, ForeignKeyConstraint, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.columns import Base, PydanticJSON, now
from app.core.errors import ProblemDocument
from app.core.idempotency import IdempotencyKey as IdempotencyKey  # beside its one use, and in the schema with the rest
from app.requests import DatasetRequest, ExperimentRequest, PromoteRequest, TrainingRequest
from app.results import MappedAreas, ModelMetrics, PreparedDataset, Verdict
from app.storage import Stored
from ml.checkpoint_header import CheckpointHeader
from ml.config import PredictConfig, TrainConfig
from ml.contract import Contract
from ml.evaluation.assessment import Assessment
from ml.evaluation.comparison import Comparison
from ml.evaluation.metrics import Metrics
from ml.evaluation.report import TrainReport
from ml.labels.classes import LabelOptions
from ml.labels.inspect import LabelReport
from ml.scenes.inspect import SceneInfo

Software = dict[str, str]  # what made a result, as `ml.provenance` and docs/http-api.md name it
EpochValues = dict[str, float | int | None]
_DOCUMENTS = (
    *(SceneInfo, LabelOptions, LabelReport, DatasetRequest, PreparedDataset, TrainConfig, CheckpointHeader),
    *(ExperimentRequest, Comparison, EpochValues, ModelMetrics, Contract, Software),
    *(dict[str, Assessment], TrainReport, Metrics, Assessment, TrainingRequest, PromoteRequest, Verdict),
    *(PredictConfig, dict[str, Stored], MappedAreas, ProblemDocument, list[str]),
)
Base.registry.update_type_annotation_map({kind: PydanticJSON(kind) for kind in _DOCUMENTS})


class Scene(Base):
    """An uploaded GeoTIFF. info: what was found in it; object: the key of its bytes in the store."""

    __tablename__ = "scenes"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    object: Mapped[str] = mapped_column(Text)
    acquired: Mapped[datetime | None]
    sensor: Mapped[str | None] = mapped_column(String(200))
    nodata: Mapped[float | None]  # as declared by the uploader; None: believe the file
    info: Mapped[SceneInfo]
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
    """An uploaded layer of truth. options: how it is to be read; report: what was found in it."""

    __tablename__ = "labels"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    object: Mapped[str] = mapped_column(Text)
    options: Mapped[LabelOptions]
    report: Mapped[LabelReport]
    created: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (Index("ix_labels_created", "created", "id"),)


_HAS_PARENT = text("parent IS NOT NULL")  # most have none
# what has runs or parts is running as soon as one of them was claimed, though no worker holds it before all have ended
_REPORTED = "CASE WHEN status = 'accepted' AND stage = 'runs' THEN 'running' ELSE status END"


class Job(Base):
    """One piece of work and its state; see `app.jobs.lifecycle` for who may move it where.

    reported_status: what clients are told, by the database from `status`; every document, filter and count takes it.
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
    reported_status: Mapped[str] = mapped_column(String(12), Computed(_REPORTED, persisted=True))
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
    error: Mapped[ProblemDocument | None]
    created: Mapped[datetime] = mapped_column(default=now)
    started: Mapped[datetime | None]
    finished: Mapped[datetime | None]
    updated: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (
        Index("ix_jobs_created", "created", "id"),
        Index("ix_jobs_kind", "kind", "created", "id"),
        Index("ix_jobs_status", "status", "created", "id"),
        Index("ix_jobs_status_kind", "status", "kind", "created", "id"),
        Index("ix_jobs_reported", "reported_status", "created", "id"),
        Index("ix_jobs_reported_kind", "reported_status", "kind", "created", "id"),
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

    prepared: what the job found; None until then. figures: key of the pictures for its figures.
    """

    __tablename__ = "datasets"

    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    version: Mapped[int]
    request: Mapped[DatasetRequest]
    scenes: Mapped[list[str]]
    labels: Mapped[list[str]]
    prepared: Mapped[PreparedDataset | None]
    figures: Mapped[str | None] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (
        Index("ux_datasets_name_version", "name", "version", unique=True),
        Index("ix_datasets_created", "created", "id"),
    )


class Training(Base):
    """A training; `id` is also the id of its job.

    register_as: "" when what comes out is not to be registered. experiment, variant: of a run of an experiment.
    header: of its checkpoint; figures: key of the pictures for its figures; None until then.
    """

    __tablename__ = "trainings"

    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    dataset: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    register_as: Mapped[str] = mapped_column(String(80))
    config: Mapped[TrainConfig]
    version: Mapped[int | None]
    experiment: Mapped[str | None] = mapped_column(String(100), index=True)
    variant: Mapped[str | None] = mapped_column(String(80))
    header: Mapped[CheckpointHeader | None]
    figures: Mapped[str | None] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (Index("ix_trainings_created", "created", "id"),)


class Experiment(Base):
    """Variants x seeds on one dataset; `id` is also the id of its job, and each run is a training of its own.

    comparison: of its runs; None until the job succeeded.
    """

    __tablename__ = "experiments"

    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    dataset: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    request: Mapped[ExperimentRequest]
    comparison: Mapped[Comparison | None]
    created: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (Index("ix_experiments_created", "created", "id"),)


class SeriesRow(Base):
    """What one epoch of a training measured."""

    __tablename__ = "series"

    training: Mapped[str] = mapped_column(ForeignKey("trainings.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    values: Mapped[EpochValues]


class ModelVersion(Base):
    """A registered checkpoint. metrics, contract, config, versions, details, report: as in its checkpoint's header."""

    __tablename__ = "model_versions"

    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    training: Mapped[str | None] = mapped_column(ForeignKey("trainings.id"))
    dataset: Mapped[str | None] = mapped_column(String(100))
    metrics: Mapped[ModelMetrics]
    contract: Mapped[Contract]
    config: Mapped[TrainConfig]
    versions: Mapped[Software]  # of the software that made it
    details: Mapped[dict[str, Assessment] | None]  # by split
    report: Mapped[TrainReport | None]
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

    metrics, details: what was found; software: what made them; None until the job succeeded.
    """

    __tablename__ = "evaluations"

    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    model: Mapped[str] = mapped_column(String(80))
    version: Mapped[int]
    dataset: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    split: Mapped[str] = mapped_column(String(5))
    metrics: Mapped[Metrics | None]
    details: Mapped[Assessment | None]
    software: Mapped[Software | None]
    created: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (
        ForeignKeyConstraint(["model", "version"], ["model_versions.name", "model_versions.version"]),
        Index("ix_evaluations_model", "model", "version", "created", "id"),
    )


class Part(Base):
    """Some rows of a prediction's map, worked on as a job of its own; `id` is also the id of that job.

    object: the rows in the store, as `ml.nn.prediction.predict.predict_rows` made them; software: what made them; None
    until the job succeeded.
    """

    __tablename__ = "parts"

    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    prediction: Mapped[str] = mapped_column(ForeignKey("predictions.id"), index=True)
    first_row: Mapped[int]
    end_row: Mapped[int]
    object: Mapped[str | None] = mapped_column(Text)
    software: Mapped[Software | None]


class Schedule(Base):
    """Retraining by the clock. training: what each run asks for; promote: the gate, None: nothing is promoted.

    due: when it is to run next, None while it is disabled. Whoever moves `due` on makes the run, in one transaction.
    """

    __tablename__ = "schedules"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    cron: Mapped[str] = mapped_column(String(200))
    timezone: Mapped[str] = mapped_column(String(80))
    training: Mapped[TrainingRequest]
    promote: Mapped[PromoteRequest | None]
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
    the new one had to be compared with. finished: None while it goes on.
    """

    __tablename__ = "schedule_runs"

    id: Mapped[str] = mapped_column(String(100), primary_key=True)
    schedule: Mapped[str] = mapped_column(ForeignKey("schedules.id", ondelete="CASCADE"))
    due: Mapped[datetime]
    trigger: Mapped[str] = mapped_column(String(10))
    missed: Mapped[int] = mapped_column(default=0)
    status: Mapped[str] = mapped_column(String(12))
    message: Mapped[str] = mapped_column(Text, default="")
    promote: Mapped[PromoteRequest | None]
    training: Mapped[str | None] = mapped_column(ForeignKey("trainings.id"), index=True)
    evaluations: Mapped[list[str]] = mapped_column(default=list)
    verdict: Mapped[Verdict | None]
    error: Mapped[ProblemDocument | None]
    created: Mapped[datetime] = mapped_column(default=now)
    finished: Mapped[datetime | None]

    __table_args__ = (
        Index("ux_schedule_runs_due", "schedule", "due", unique=True),
        Index("ix_schedule_runs_created", "schedule", "created", "id"),
        Index("ix_schedule_runs_open", "schedule", postgresql_where=_IS_OPEN, sqlite_where=_IS_OPEN),
    )


class Prediction(Base):
    """One scene mapped by one model version; `id` is also the id of its job.

    products: the files, by their names; areas: hectares by class; software: what made it; None until the job succeeded.
    """

    __tablename__ = "predictions"

    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    scene: Mapped[str] = mapped_column(ForeignKey("scenes.id"))
    model: Mapped[str] = mapped_column(String(80))
    version: Mapped[int]
    config: Mapped[PredictConfig]
    products: Mapped[dict[str, Stored] | None]
    areas: Mapped[MappedAreas | None]
    software: Mapped[Software | None]
    created: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (
        ForeignKeyConstraint(["model", "version"], ["model_versions.name", "model_versions.version"]),
        Index("ix_predictions_created", "created", "id", "scene"),
        Index("ix_predictions_scene", "scene", "created", "id"),
    )


class Worker(Base):
    """A worker process that lives, or did a moment ago. For /readyz only: no decision about a job hangs on it."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    queues: Mapped[list[str]]
    seen: Mapped[datetime] = mapped_column(default=now)
