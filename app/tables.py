"""The tables of the database. What a row says about a scene, a job or a model is authoritative."""

from datetime import date, datetime

from sqlalchemy import BigInteger, Computed, ForeignKey, ForeignKeyConstraint, Index, String, Text, false, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core import tracing
from app.core.columns import TENANT_LENGTH, Base, Owned, OwnedId, PydanticJSON, now
from app.core.errors import ProblemDocument
from app.core.idempotency import IdempotencyKey as IdempotencyKey  # defined where it is used; a table like the others
from app.core.preconditions import tag_of
from app.requests import DatasetRequest, ExperimentRequest, Limits, PromoteRequest, SurveyOptions, TrainingRequest
from app.results import DeliveryAttempt, EndedAttempt, MappedAreas, ModelMetrics, PreparedDataset, Verdict
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
from ml.sampling.design import Design, DrawnSample, SamplePoint
from ml.scenes.inspect import SceneInfo
from ml.surveys.change import Transitions
from ml.surveys.mosaic import Mosaic
from ml.zones.areas import ClassesByZone
from ml.zones.inspect import Zone, ZoneReport
from ml.zones.locating import PlacesByZone
from ml.zones.read import ZoneOptions

Software = dict[str, str]  # what made a result, as `ml.provenance` and docs/http-api.md name it
EpochValues = dict[str, float | int | None]
_DOCUMENTS = (
    *(SceneInfo, LabelOptions, LabelReport, DatasetRequest, PreparedDataset, TrainConfig, CheckpointHeader),
    *(ExperimentRequest, Comparison, EpochValues, ModelMetrics, Contract, Software),
    *(dict[str, Assessment], TrainReport, Metrics, Assessment, TrainingRequest, PromoteRequest, Verdict),
    *(PredictConfig, dict[str, Stored], MappedAreas, ProblemDocument, list[str], list[EndedAttempt], Limits),
    *(list[DeliveryAttempt], Design, DrawnSample, list[SamplePoint]),
    *(ZoneOptions, ZoneReport, list[Zone], ClassesByZone, PlacesByZone),
    *(SurveyOptions, Mosaic, Transitions),
)
Base.registry.update_type_annotation_map({kind: PydanticJSON(kind) for kind in _DOCUMENTS})


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


class Tenant(Titled, Revised, Base):
    """A portal that sees nothing but its own things. The first one, "local", belongs to whoever runs the service.

    grants: The models of other tenants that it may read and use, like "province~cane".
    limits: Those that are not the defaults of the service. pixels: Number of those that were to be mapped on
    `pixels_day`, a day of UTC.
    """

    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(String(TENANT_LENGTH), primary_key=True)
    grants: Mapped[list[str]] = mapped_column(default=list, server_default="[]")
    limits: Mapped[Limits] = mapped_column(default=Limits(), server_default="{}")
    pixels_day: Mapped[date | None]
    pixels: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")


class Key(Owned, Revised, Base):
    """A key of a tenant, with which its programs are let in. The key itself is nowhere.

    scope: What the key allows, one of `app.access.keys.SCOPES`. sha256: of the whole key, in hex.
    expires, revoked: From these times on it is refused; None if there is no such time.
    last_used: The minute of its last use, about; None if it was never used.
    """

    __tablename__ = "keys"

    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id"), sort_order=-1)
    id: Mapped[str] = mapped_column(String(8), primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    scope: Mapped[str] = mapped_column(String(10))
    sha256: Mapped[str] = mapped_column(String(64))
    expires: Mapped[datetime | None]
    revoked: Mapped[datetime | None]
    last_used: Mapped[datetime | None]

    __table_args__ = (Index("ix_keys_created", "tenant", "created", "id"),)


class AuditEntry(Owned, Base):
    """One transaction that has changed something on somebody's behalf. Entries are never changed.

    who, action, peer, request: As those of `app.core.acting.Act`. made: Id of what is new, if anything is.
    """

    __tablename__ = "audit"

    id: Mapped[str] = mapped_column(OwnedId(100), primary_key=True)
    at: Mapped[datetime] = mapped_column(default=now)
    who: Mapped[str] = mapped_column(String(100))
    action: Mapped[str] = mapped_column(Text)
    made: Mapped[str | None] = mapped_column(String(200))
    peer: Mapped[str | None] = mapped_column(String(60))
    request: Mapped[str | None] = mapped_column(String(40))

    __table_args__ = (Index("ix_audit_at", "tenant", "at", "id"),)


class IncomingFile(Owned, Base):
    """A file that is arriving, or the beginning of one, for which room is reserved.

    name: Of the file beside the store. size_bytes: As much as is reserved. until: When the file is gone, or its process
    has died, unless this was renewed.
    """

    __tablename__ = "incoming_files"

    name: Mapped[str] = mapped_column(OwnedId(80), primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    until: Mapped[datetime]


class Secret(Base):
    """A secret that all processes of a service share. value: in hex."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[str] = mapped_column(String(64))


class Sized:
    """A row that names files in the store. size_bytes: Of all these files."""

    size_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")


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


_HAS_PARENT = text("parent IS NOT NULL")  # an index of these rows is small: most jobs have no parent
_CAN_WAIT = text("status = 'accepted' AND pause_s = 0")  # an index in which a claim finds the oldest job of a tenant
# A job with child jobs is reported as running as soon as one of them was claimed, although no worker can claim it
# before all of them have ended.
_REPORTED = "CASE WHEN status = 'accepted' AND stage = 'runs' THEN 'running' ELSE status END"


class UnfinishedUpload(Owned, Base):
    """An upload in pieces.

    total: Bytes of the whole file; None if the client has not announced it. digests: Those of the whole file that it
    announced, in base64 by algorithm. metadata_header: What it said of the file, as tus has it; "" for nothing.
    made: Path of the scene, labels or zones that were made of it; its bytes are gone then. touched: When bytes last
    came.
    """

    __tablename__ = "uploads"

    id: Mapped[str] = mapped_column(OwnedId(32), primary_key=True)
    total: Mapped[int | None] = mapped_column(BigInteger)
    metadata_header: Mapped[str] = mapped_column(Text, default="")
    digests: Mapped[dict[str, str]]
    made: Mapped[str | None] = mapped_column(Text)
    touched: Mapped[datetime] = mapped_column(default=now, index=True)


class UploadPiece(Owned, Base):
    """Bytes of an unfinished upload that are an object of the store, where APIs share no disk. offset: in bytes.

    The primary key lets only one of two requests continue an upload at one offset.
    """

    __tablename__ = "upload_pieces"

    upload: Mapped[str] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True)
    offset: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    object: Mapped[str] = mapped_column(Text)


class Job(Owned, Base):
    """A job and its state. `app.jobs.lifecycle` has the legal moves of the status.

    needs_gpu: Whether only workers with a GPU may claim it.
    protocol: `app.jobs.kinds.PROTOCOL` of whoever created the job. Older workers leave it to newer ones.
    parent: Id of the job of the experiment to which a training belongs, of the prediction to which a part belongs, or
        of the survey that asked for a prediction. That job cannot be claimed before all its child jobs have ended.
    reported_status: The status that clients see, which the database computes from `status` and `stage`. All documents,
        filters and counts use it.
    attempt: How often the job was claimed; the fencing token of each write of a worker.
    beat_seq: Grows with each heartbeat and each move.
    failures: How often the process of the job died. returns: How often workers gave it back that could not do it.
    pause_s: Seconds for which a job waits that is tried again; 0 when it can be claimed. A sweep counts them by its own
        clock, so that a clock that is set back delays nothing. next_attempt: When the pause ends, as clients are told.
    attempts: The last attempts that have ended.
    traceparent: The span of a trace that asked for the job, as the recommendation Trace Context of the W3C writes it.
    revision: Grows with each change that clients can see.
    """

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(OwnedId(100), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    protocol: Mapped[int] = mapped_column(default=1, server_default="1")
    needs_gpu: Mapped[bool] = mapped_column(default=False, server_default=false())
    parent: Mapped[str | None] = mapped_column(OwnedId(100))
    status: Mapped[str] = mapped_column(String(12), default="accepted")
    reported_status: Mapped[str] = mapped_column(String(12), Computed(_REPORTED, persisted=True))
    attempt: Mapped[int] = mapped_column(default=0)
    beat_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    failures: Mapped[int] = mapped_column(default=0)
    returns: Mapped[int] = mapped_column(default=0, server_default="0")
    pause_s: Mapped[float] = mapped_column(default=0.0, server_default="0")
    next_attempt: Mapped[datetime | None]
    attempts: Mapped[list[EndedAttempt]] = mapped_column(default=list, server_default="[]")
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
    traceparent: Mapped[str | None] = mapped_column(String(tracing.LENGTH))

    __table_args__ = (
        Index("ix_jobs_created", "tenant", "created", "id"),
        Index("ix_jobs_kind", "tenant", "kind", "created", "id"),
        Index("ix_jobs_status", "status", "created", "id"),
        Index("ix_jobs_status_kind", "status", "kind", "created", "id"),
        Index("ix_jobs_reported", "tenant", "reported_status", "created", "id"),
        Index("ix_jobs_reported_kind", "tenant", "reported_status", "kind", "created", "id"),
        Index(
            *("ix_jobs_waiting", "tenant", "created", "id", "kind"), postgresql_where=_CAN_WAIT, sqlite_where=_CAN_WAIT
        ),
        Index("ix_jobs_parent", "parent", postgresql_where=_HAS_PARENT, sqlite_where=_HAS_PARENT),
    )

    @property
    def tag(self) -> str:
        """The ETag, also of a prediction, which changes with its job."""
        return tag_of(self.created, self.revision)


class JobLog(Owned, Base):
    """One line of the log of a job."""

    __tablename__ = "job_log"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    attempt: Mapped[int]
    at: Mapped[datetime] = mapped_column(default=now)
    text: Mapped[str] = mapped_column(Text)


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


class DamagedFile(Base):
    """A file that is missing from the store, or whose bytes are not those that were stored.

    key: Of the file. owner: What it belongs to, in words that clients know. found: When it was found so.
    """

    __tablename__ = "damaged_files"

    key: Mapped[str] = mapped_column(String(500), primary_key=True)
    owner: Mapped[str] = mapped_column(String(200))
    fault: Mapped[str] = mapped_column(String(20))
    found: Mapped[datetime] = mapped_column(default=now)


class Scrub(Base):
    """How far the check of all stored files has come: there is one row, with the resource that is checked now.

    kind, thing: Both are "" between two rounds. began, ended: Of the last round; ended is None while it goes on.
    """

    __tablename__ = "scrub"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(20), default="")
    thing: Mapped[str] = mapped_column(OwnedId(100), default="")
    began: Mapped[datetime | None]
    ended: Mapped[datetime | None]


class DeletedNumber(Owned, Base):
    """The largest number of the deleted versions of a dataset or a model. It is never given to another version."""

    __tablename__ = "deleted_numbers"

    kind: Mapped[str] = mapped_column(String(20), primary_key=True)
    name: Mapped[str] = mapped_column(OwnedId(80, shared=True), primary_key=True)
    number: Mapped[int]


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


class Training(Sized, Titled, Owned, Base):
    """A training; `id` is also the id of its job.

    register_as: Name of the model; "" if the net is not registered. version: The version that was registered; None also
        if it was deleted.
    experiment, variant: The experiment to which the training belongs, if any, and the name of the variant.
    header: Header of the checkpoint. figures: Key of the pictures for the figures. Both are None until the job
        succeeded.
    """

    __tablename__ = "trainings"

    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    dataset: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    register_as: Mapped[str] = mapped_column(OwnedId(80))
    config: Mapped[TrainConfig]
    version: Mapped[int | None]
    experiment: Mapped[str | None] = mapped_column(OwnedId(100), index=True)
    variant: Mapped[str | None] = mapped_column(String(80))
    header: Mapped[CheckpointHeader | None]
    figures: Mapped[str | None] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (Index("ix_trainings_created", "tenant", "created", "id"),)


class Experiment(Titled, Owned, Base):
    """Variants, each trained with several seeds on one dataset; `id` is also the id of its job.

    comparison: Comparison of the trainings; None until the job succeeded.
    """

    __tablename__ = "experiments"

    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    dataset: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    request: Mapped[ExperimentRequest]
    comparison: Mapped[Comparison | None]
    created: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (Index("ix_experiments_created", "tenant", "created", "id"),)


class SeriesRow(Owned, Base):
    """The measured values of one epoch of a training."""

    __tablename__ = "series"

    training: Mapped[str] = mapped_column(ForeignKey("trainings.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    values: Mapped[EpochValues]


class ModelVersion(Titled, Owned, Base):
    """A registered checkpoint.

    metrics, contract, config, versions, details, report: As in the header of the checkpoint.
    dataset: Id of the dataset that it was trained on. object: Key of the checkpoint in the store.
    revision: Grows with each change of its title.
    """

    __tablename__ = "model_versions"

    name: Mapped[str] = mapped_column(OwnedId(80, shared=True), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    training: Mapped[str | None] = mapped_column(ForeignKey("trainings.id"), index=True)
    dataset: Mapped[str | None] = mapped_column(OwnedId(100))
    metrics: Mapped[ModelMetrics]
    contract: Mapped[Contract]
    config: Mapped[TrainConfig]
    versions: Mapped[Software]  # of the software that made the checkpoint
    details: Mapped[dict[str, Assessment] | None]  # by split
    report: Mapped[TrainReport | None]
    dataset_sha256: Mapped[str | None] = mapped_column(String(64))
    object: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created: Mapped[datetime] = mapped_column(default=now)
    revision: Mapped[int] = mapped_column(default=1, server_default="1")


class Model(Titled, Owned, Base):
    """What is said of a model as a whole, if anything is: otherwise it is nothing but its versions.

    approval: Whether its aliases can be moved only by somebody who has the scope "approve".
    revision: Grows with each change.
    """

    __tablename__ = "models"

    name: Mapped[str] = mapped_column(OwnedId(80), primary_key=True)
    approval: Mapped[bool] = mapped_column(default=False, server_default=false())
    revision: Mapped[int] = mapped_column(default=1)


class Alias(Owned, Base):
    """A name for a version of a model, which can be moved to another version.

    revision: Grows with each move, also over its removals.
    """

    __tablename__ = "aliases"

    model: Mapped[str] = mapped_column(OwnedId(80), primary_key=True)
    alias: Mapped[str] = mapped_column(String(80), primary_key=True)
    version: Mapped[int]
    updated: Mapped[datetime] = mapped_column(default=now)
    revision: Mapped[int] = mapped_column(default=1)

    __table_args__ = (ForeignKeyConstraint(["model", "version"], ["model_versions.name", "model_versions.version"]),)

    @property
    def tag(self) -> str:
        """The ETag."""
        return str(self.revision)


class AliasMove(Owned, Base):
    """One move of an alias, which is never deleted. version: None if the alias was removed."""

    __tablename__ = "alias_moves"

    id: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(OwnedId(80))
    alias: Mapped[str] = mapped_column(String(80))
    version: Mapped[int | None]
    reason: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (Index("ix_alias_moves", "model", "alias", "id"),)


class Evaluation(Titled, Owned, Base):
    """One model version scored on one split of a dataset; `id` is also the id of its job.

    metrics, details: The result. software: What made it. All are None until the job succeeded.
    """

    __tablename__ = "evaluations"

    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    model: Mapped[str] = mapped_column(OwnedId(80, shared=True))
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


class Schedule(Titled, Owned, Revised, Base):
    """A training that is repeated at the times of a cron expression.

    training: The request for the training of each run. promote: The gate; None if no version is promoted.
    always: Train also if nothing has changed since the last run.
    due: When the next run is due, in UTC; None while the schedule is disabled. The transaction that changes `due` also
        adds the run.
    """

    __tablename__ = "schedules"

    id: Mapped[str] = mapped_column(OwnedId(80), primary_key=True)
    cron: Mapped[str] = mapped_column(String(200))
    timezone: Mapped[str] = mapped_column(String(80))
    training: Mapped[TrainingRequest]
    promote: Mapped[PromoteRequest | None]
    enabled: Mapped[bool] = mapped_column(default=True)
    always: Mapped[bool] = mapped_column(default=False, server_default=false())
    due: Mapped[datetime | None] = mapped_column(index=True)
    updated: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (Index("ix_schedules_created", "tenant", "created", "id"),)


_IS_OPEN = text("finished IS NULL")  # an index of these rows is small: most runs have ended


class ScheduleRun(Owned, Base):
    """A run: one time that a schedule was due. `app.schedules.schedule_runs` explains its statuses.

    missed: Number of earlier times that were due and got no run. promote: The gate when the run began.
    training: Id of the training and of its job; None if the run was skipped or refused.
    evaluations: Ids of the evaluations of versions with which the new one is compared.
    finished: When the run ended, in UTC; None before.
    """

    __tablename__ = "schedule_runs"

    id: Mapped[str] = mapped_column(OwnedId(100), primary_key=True)
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


class Sample(Titled, Owned, Base):
    """A probability sample of the map of a prediction; `id` is also the id of its job.

    drawn, points: The result; None until the job succeeded. The points are read only where they are needed.
    """

    __tablename__ = "samples"

    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    prediction: Mapped[str] = mapped_column(ForeignKey("predictions.id"), index=True)
    design: Mapped[Design]
    drawn: Mapped[DrawnSample | None]
    points: Mapped[list[SamplePoint] | None] = mapped_column(deferred=True)
    created: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (Index("ix_samples_created", "tenant", "created", "id"),)


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


class ZoneAreas(Owned, Base):
    """What the map of a prediction has in each zone of a set: measured when it is asked for first, and then kept."""

    __tablename__ = "zone_areas"

    prediction: Mapped[str] = mapped_column(ForeignKey("predictions.id", ondelete="CASCADE"), primary_key=True)
    zones: Mapped[str] = mapped_column(ForeignKey("zones.id", ondelete="CASCADE"), primary_key=True, index=True)
    classes: Mapped[ClassesByZone]


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


class Webhook(Titled, Owned, Revised, Base):
    """An address of a tenant to which messages about its events are sent.

    secret: With which they are signed. old_secret: With which they are signed as well until `old_secret_until`.
    disabled: Why nothing is sent; None while it is enabled.
    failing_since: Since when no message was accepted; None if the last one was, or none was sent.
    """

    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(OwnedId(100), primary_key=True)
    url: Mapped[str] = mapped_column(Text)
    events: Mapped[list[str] | None]  # None for all
    secret: Mapped[str] = mapped_column(String(100))
    old_secret: Mapped[str | None] = mapped_column(String(100))
    old_secret_until: Mapped[datetime | None]
    disabled: Mapped[str | None] = mapped_column(Text)
    failing_since: Mapped[datetime | None]
    updated: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (Index("ix_webhooks_created", "tenant", "created", "id"),)


_IS_DUE = text("due IS NOT NULL")  # an index of these rows is small: most deliveries have ended


class Delivery(Owned, Base):
    """A message for a webhook, written in the transaction of what it tells. `app.webhooks.deliveries` moves its status.

    event: Id of the event, the same for all webhooks that are told of it. body: The message, as it is signed and sent.
    tries: Attempts since the delivery began, or began anew. attempt: Attempts in all, the fencing token of who sends.
    due: When to try next, or while it is sent, when another one may try; None when it has ended.
    attempts: The last attempts that have ended.
    """

    __tablename__ = "deliveries"

    id: Mapped[str] = mapped_column(OwnedId(100), primary_key=True)
    webhook: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    event: Mapped[str] = mapped_column(String(100))  # plain: receivers know no tenants
    type: Mapped[str] = mapped_column(String(40))
    body: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(12), default="pending")
    tries: Mapped[int] = mapped_column(default=0)
    attempt: Mapped[int] = mapped_column(default=0)
    due: Mapped[datetime | None] = mapped_column(default=now)
    attempts: Mapped[list[DeliveryAttempt]] = mapped_column(default=list)
    created: Mapped[datetime] = mapped_column(default=now)
    ended: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_deliveries_created", "webhook", "created", "id"),
        Index("ix_deliveries_due", "due", postgresql_where=_IS_DUE, sqlite_where=_IS_DUE),
        Index("ix_deliveries_ended", "ended"),
    )


class Worker(Base):
    """A worker process that has reported. Only /readyz and the doctor use this; no decision about a job depends on it.

    seen: When it reported last, in UTC. trouble: Why it claims no jobs; None if it does.
    """

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    queues: Mapped[list[str]]
    seen: Mapped[datetime] = mapped_column(default=now)
    trouble: Mapped[str | None] = mapped_column(Text)


SIZED = (
    Scene,
    LabelSet,
    ZoneSet,
    Dataset,
    Training,
    ModelVersion,
    Prediction,
    Survey,
)  # all tables whose rows name files of a tenant
for _table in SIZED:
    Index(f"ix_{_table.__tablename__}_size", _table.tenant, _table.size_bytes)  # their sum is read from the index alone
