"""The documents of models, their versions and their aliases."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import Field

from app import tables
from app.api.documents.base import Checksum, Document, Link, Software, Title, checksum, link
from app.api.documents.base import Page as PageOf
from app.core.paging import Page
from app.results import ModelMetrics
from ml.config import TrainConfig
from ml.contract import Contract
from ml.evaluation.assessment import Assessment
from ml.evaluation.report import TrainReport


class ModelVersion(Document):
    """A registered net with its metrics, its lineage and its input contract."""

    name: str
    version: int
    aliases: tuple[str, ...] = Field(description="The aliases that point at this version.")
    title: Title
    created: datetime
    training: str | None = Field(
        description="The training that made it. Of an imported version this and `dataset` are null."
    )
    dataset: str | None
    metrics: ModelMetrics
    details: dict[str, Assessment] | None = Field(description="By split: metrics of its scenes, counts of its blocks.")
    report: TrainReport | None
    contract: Contract
    config: TrainConfig
    dataset_sha256: str | None
    software: Software
    size_bytes: int
    checksum: Checksum
    links: tuple[Link, ...]

    @classmethod
    def of(cls, row: tables.ModelVersion, aliases: Sequence[tables.Alias]) -> "ModelVersion":
        """The document of the version in `row`. aliases: all aliases of its model."""
        url = f"/v1/models/{row.name}/versions/{row.version}"
        return cls(
            name=row.name,
            version=row.version,
            aliases=tuple(alias.alias for alias in aliases if alias.version == row.version),
            title=row.title,
            created=row.created,
            training=row.training,
            dataset=row.dataset,
            metrics=row.metrics,
            details=row.details,
            report=row.report,
            contract=row.contract,
            config=row.config,
            dataset_sha256=row.dataset_sha256,
            software=row.versions,
            size_bytes=row.size_bytes,
            checksum=checksum(row.sha256),
            links=_links(url),
        )

    def named(self, name: str) -> "ModelVersion":
        """The document for those who call the model `name`.

        A model of another tenant has neither its training nor its dataset: they are not theirs.
        """
        if name == self.name:
            return self
        url = f"/v1/models/{name}/versions/{self.version}"
        return self.model_copy(update={"name": name, "training": None, "dataset": None, "links": _links(url)})


def _links(url: str) -> tuple[Link, ...]:
    return link(url, "self"), link(f"{url}/bundle", "enclosure", "application/octet-stream")


class Model(Document):
    """A model with its versions, and with each alias and the number of the version that it points at."""

    name: str
    title: Title
    approval: bool = Field(description="Whether only keys with the scope approve may move its aliases.")
    aliases: dict[str, int] = Field(description="Number of a version, by alias.")
    versions: tuple[ModelVersion, ...] = Field(description="Newest first.")

    @classmethod
    def of(
        cls,
        name: str,
        versions: Sequence[tables.ModelVersion],
        aliases: Sequence[tables.Alias],
        said: tables.Model | None,
    ) -> "Model":
        """The document of the model `name`. aliases: all aliases of this model. said: what is said of it as a whole."""
        return cls(
            name=name,
            title=said.title if said else None,
            approval=said is not None and said.approval,
            aliases={alias.alias: alias.version for alias in aliases},
            versions=tuple(ModelVersion.of(row, aliases) for row in versions),
        )


class Models(PageOf[Model]):
    """A page of models in the order of their names. Each has only its newest version in `versions`."""


class ModelPage(Model):
    """A model with one page of its versions. `next` is the `token` of the next page; it is null on the last page."""

    next: str | None

    @classmethod
    def page(
        cls,
        name: str,
        found: Page[tables.ModelVersion],
        aliases: Sequence[tables.Alias],
        said: tables.Model | None,
    ) -> "ModelPage":
        """The document of the model `name` with one page of its versions. The others are as for `Model.of`."""
        return cls(**dict(Model.of(name, found.rows, aliases, said)), next=found.next)

    def named(self, name: str) -> "ModelPage":
        """The document for those who call the model `name`."""
        return self.model_copy(update={"name": name, "versions": tuple(row.named(name) for row in self.versions)})


class AliasMove(Document):
    """One move of an alias. `version` is null if the alias was removed."""

    version: int | None
    reason: str
    at: datetime


class Alias(Document):
    """The version that an alias points at, and all its moves, oldest first."""

    name: str = Field(description="Name of the model.")
    alias: str
    version: int
    updated: datetime
    history: tuple[AliasMove, ...]

    @classmethod
    def of(cls, row: tables.Alias, history: Sequence[tables.AliasMove]) -> "Alias":
        """The document of the alias in `row`. history: its moves, oldest first."""
        moves = tuple(AliasMove(version=move.version, reason=move.reason, at=move.at) for move in history)
        return cls(name=row.model, alias=row.alias, version=row.version, updated=row.updated, history=moves)
