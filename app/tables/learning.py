"""Trainings, experiments, evaluations, and the registry of models."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, ForeignKeyConstraint, Index, String, Text, false
from sqlalchemy.orm import Mapped, mapped_column

from app.core.columns import Base, Owned, OwnedId, keep_as_json, now
from app.requests.learning import ExperimentRequest
from app.results import ModelMetrics
from app.tables.mixins import Sized, Software, Titled
from ml.checkpoint_header import CheckpointHeader
from ml.config import TrainConfig
from ml.contract import Contract
from ml.evaluation.assessment import Assessment
from ml.evaluation.comparison import Comparison
from ml.evaluation.metrics import Metrics
from ml.evaluation.report import TrainReport

EpochValues = dict[str, float | int | None]
keep_as_json(
    TrainConfig,
    CheckpointHeader,
    ExperimentRequest,
    Comparison,
    EpochValues,
    ModelMetrics,
    Contract,
    dict[str, Assessment],
    TrainReport,
    Metrics,
    Assessment,
    Software,
)


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
