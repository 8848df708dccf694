"""What jobs found, as rows keep it and answers show it, where `ml` does not describe it already.

A field with a default came later than its table: older rows lack it.
"""

from typing import Literal

from pydantic import Field

from ml.contract import Contract, SceneRadiometry
from ml.datasets.class_counts import SplitStatistics
from ml.evaluation.metrics import Metrics
from ml.faults import Note
from ml.frozen import Frozen


class PreparedDataset(Frozen):
    """A dataset that can be trained on.

    statistics: by split. by_scene: by the scene's id, of its pixels in any split. total: of all splits. references:
    labelled pixels by what the labels call them. sha256: of `ml.data.TrainingData`. radiometry: by the scene's id,
    empty unless scenes are homogenised. masks: by split, then by the scene's id, the key of the mask in the store.
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
    """What a training measured on its own dataset; test is None without a test split."""

    val: Metrics | None
    test: Metrics | None

    def of(self, split: str) -> Metrics | None:
        """The metrics on a split; nobody measures them on train."""
        return {"val": self.val, "test": self.test}.get(split)


class MappedAreas(Frozen):
    """Hectares of a map. area_ha: by class value. observed_ha, unobserved_ha: of valid pixels, and of the others."""

    area_ha: dict[int, float]
    observed_ha: float
    unobserved_ha: float


class Check(Frozen):
    """One condition. rule: gain and guard are about candidate - champion, floor about the candidate alone.

    value: what must be at least `least`; None when a figure is undefined, which never passes.
    """

    rule: Literal["gain", "guard", "floor"]
    metric: str
    candidate: float | None
    champion: float | None
    value: float | None
    least: float
    passed: bool


class ScoredVersion(Frozen):
    """A version with its metrics on the split that decided."""

    version: int
    metrics: Metrics


class Verdict(Frozen):
    """Whether the candidate takes the alias, and every number that this hung on. champion: None where there was none.

    champion: the version that the alias pointed at in the transaction that decided.
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
