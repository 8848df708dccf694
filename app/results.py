"""The results of jobs that `ml` does not define already, as they are stored in rows and shown in answers.

A field with a default was added later than its table, so older rows do not have it.
"""

from datetime import datetime
from typing import Literal, get_args

from pydantic import Field

from ml.contract import Contract, SceneRadiometry
from ml.datasets.class_counts import SplitStatistics
from ml.evaluation.metrics import Metrics
from ml.faults import Note
from ml.frozen import Frozen
from ml.products.polygon_totals import PolygonTotals
from ml.scenes.applicability import NOT_MEASURED, Applicability

Outcome = Literal["successful", "failed", "dismissed", "given-back", "worker-lost", "crashed", "stalled", "gpu-fault"]


class EndedAttempt(Frozen):
    """An attempt at a job that has ended.

    outcome: "worker-lost": no heartbeat came any more. "crashed": the process of the job died. "stalled": it made no
        progress and was ended. "given-back": its worker stopped, or had no disk, store or database, or its
        GPU was full of other processes. "gpu-fault": an error of the GPU.
    detail: What happened, in words; "" if the job succeeded.
    """

    attempt: int
    started: datetime | None
    ended: datetime
    # any text can be read: a newer worker may know more outcomes, and older ones must be able to claim the job
    outcome: str = Field(json_schema_extra={"enum": list(get_args(Outcome))})
    detail: str = ""


class DeliveryAttempt(Frozen):
    """One attempt to deliver a message of a webhook.

    at: When it began. seconds: How long it took. status_code: What the receiver answered; None if it did not answer.
    detail: What happened, in words of canemap; "" if the message was accepted.
    """

    attempt: int
    at: datetime
    seconds: float
    status_code: int | None
    detail: str = ""


class PreparedDataset(Frozen):
    """The result of preparing a dataset, which can then be trained on.

    statistics: Statistics of each split.
    by_scene: Statistics of the pixels of each scene in any split, by the id of the scene.
    total: Statistics of all splits together.
    references: Number of labelled pixels by the value that the labels have before it is mapped to a class.
    sha256: Checksum of `ml.data.TrainingData`, in hex.
    radiometry: By the id of the scene; empty unless the scenes are homogenised.
    contract: What a scene must be for a model that is trained on the dataset.
    masks: By split and then by the id of the scene, the key of the mask in the store.
    """

    statistics: dict[str, SplitStatistics]
    by_scene: dict[str, SplitStatistics] | None = None
    total: SplitStatistics | None = None
    references: dict[str, int] | None = None
    sha256: str | None = None
    radiometry: dict[str, SceneRadiometry] = Field(default_factory=dict)
    contract: Contract
    notes: tuple[Note, ...] | None = None
    masks: dict[str, dict[str, str]]


class ModelMetrics(Frozen):
    """The metrics of a training on its own dataset. val, test: of each split; None if it was not measured."""

    val: Metrics | None
    test: Metrics | None

    def of(self, split: str) -> Metrics | None:
        """The metrics on a split; None for train, on which they are never measured."""
        return {"val": self.val, "test": self.test}.get(split)


class MappedAreas(Frozen):
    """The areas of a map, in hectares.

    area_ha: Area of each class, by class value. observed_ha: Area of the valid pixels. unobserved_ha: Of all others.
    applicability: Whether the scene is like the training of the model. polygons: What the polygon files have; None if
    there are none, or if they are older than this field.
    """

    area_ha: dict[int, float]
    observed_ha: float
    unobserved_ha: float
    applicability: Applicability = NOT_MEASURED
    polygons: PolygonTotals | None = None


class Check(Frozen):
    """The result of one condition of the gate.

    rule: "gain" and "guard" limit the difference candidate - champion, "floor" limits the metric of the candidate.
    candidate, champion: Metric of each version; None if it is undefined or not compared.
    value: The difference or the metric, which must be at least `least`. None if it is undefined, which never passes.
    """

    rule: Literal["gain", "guard", "floor"]
    metric: str
    candidate: float | None
    champion: float | None
    value: float | None
    least: float
    passed: bool


class ScoredVersion(Frozen):
    """A model version with its metrics on the split of the gate."""

    version: int
    metrics: Metrics


class Verdict(Frozen):
    """The verdict of the gate: whether the alias is moved to the candidate, and all values that were compared.

    champion: The version that the alias pointed at in the transaction of the verdict; None if there was none, or if it
        was the candidate itself.
    """

    promote: bool
    reason: str
    model: str
    alias: str
    dataset: str
    split: str
    candidate: ScoredVersion
    champion: ScoredVersion | None
    checks: tuple[Check, ...]
