"""The bodies of requests for work, as `docs/http-api.md` has them. An unknown key is refused."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from ml.config import PredictConfig, TrainConfig
from ml.datasets.options import DatasetOptions
from ml.datasets.splits import BlockSplit, SceneSplit
from ml.evaluation.plan import Plan
from ml.frozen import Frozen


def storable(text: str) -> str:
    """`text`, if no control character or lone surrogate is in it, which databases and terminals choke on."""
    if not all(char.isprintable() or char in "\n\t" for char in text):
        raise ValueError("take out the control characters")
    return text


Text = Annotated[str, StringConstraints(max_length=2000), AfterValidator(storable)]
Moment = Annotated[
    str,
    StringConstraints(max_length=40),
    Field(
        description="Date or RFC 3339 time.",
        json_schema_extra={"anyOf": [{"format": "date"}, {"format": "date-time"}]},
    ),
]
Name = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,79}$"),
    Field(description="1 to 80 of A-Z a-z 0-9 . _ - and no dot in front."),
]
FiguresOf = Literal["datasets", "trainings", "experiments"]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(storable)]


def _example(body: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [body]})


class DatasetRequest(DatasetOptions):
    """An immutable version of scenes + labels + split."""

    model_config = _example(
        {
            "name": "gx2018",
            "scenes": ["s1", "s2", "s3"],
            "labels": ["plots"],
            "split": {"by": "scene", "train": ["s1"], "val": ["s2"], "test": ["s3"]},
        }
    )

    name: Name
    scenes: tuple[Reference, ...] = Field(min_length=1, max_length=10_000)
    labels: tuple[Reference, ...] = Field(min_length=1, max_length=1000)
    split: Annotated[SceneSplit | BlockSplit, Field(discriminator="by")]


class TrainingRequest(Frozen):
    """Train a net on a dataset and register what comes out."""

    model_config = _example(
        {"dataset": "gx2018:1", "register_as": "cane", "config": {"epochs": 40, "net": {"width": 32}}}
    )

    dataset: Reference
    register_as: Name | None = Field(None, description="Name of the model; by default the dataset's.")
    config: TrainConfig = TrainConfig()


class ExperimentRequest(Plan):
    """Variants x seeds on a dataset, compared on its test split, or on val if it has none."""

    model_config = _example(
        {"dataset": "gx2018:1", "seeds": [0, 1, 2], "config": {"epochs": 40}, "lovasz_weights": [0, 0.25, 0.5, 1]}
    )

    dataset: Reference
    register_as: Name | None = Field(None, description="Register each run as a version of this model; else none is.")


class PredictionRequest(Frozen):
    """Map one scene with one model."""

    model_config = _example({"scene": "s3", "model": "cane@champion", "config": {"min_area_ha": 0.1}})

    scene: Reference
    model: Reference = Field(description='"cane@champion", "cane:3", or "cane" for its champion.')
    config: PredictConfig = PredictConfig()
    parts: int = Field(
        1,
        ge=1,
        le=1000,
        description="Cut the map into so many jobs of some rows each, which all workers share. The same pixels.",
    )


class EvaluationRequest(Frozen):
    """Score a model version on one split of a dataset."""

    model_config = _example({"dataset": "gx2018:1", "split": "test"})

    dataset: Reference
    split: Literal["train", "val", "test"] = "test"


Figure = Literal["accuracy", "iou", "kappa", "precision", "recall", "f1"]
Difference = Annotated[float, Field(ge=-1, le=1)]


class PromoteRequest(Frozen):
    """The gate: when a new version takes an alias. All figures are of one split of the training's dataset."""

    alias: Name = "champion"
    metric: Figure = "iou"
    split: Literal["test"] = Field("test", description="val has chosen the epoch, train was learnt from.")
    min_gain: Difference = Field(0.0, description="Least of new - standing in `metric`.")
    guards: dict[Figure, Difference] = Field(
        default_factory=dict, description="Least of new - standing in other metrics: -0.01 allows to lose 0.01."
    )
    floors: dict[Figure, Difference] = Field(
        default_factory=dict, description="Least values, also where there is no version to compare with."
    )


class ScheduleRequest(Frozen):
    """Retraining by the clock."""

    model_config = _example(
        {
            "name": "monthly",
            "cron": "0 2 1 * *",
            "timezone": "Asia/Shanghai",
            "training": {"dataset": "gx2018", "register_as": "cane", "config": {"epochs": 40}},
            "promote": {"alias": "champion", "metric": "iou", "min_gain": 0.005, "guards": {"recall": -0.02}},
        }
    )

    name: Name
    cron: Annotated[Text, Field(max_length=200, description="Minute hour day-of-month month day-of-week.")]
    timezone: Annotated[Text, Field(max_length=80, description="Of the IANA database, like Asia/Shanghai.")] = "UTC"
    training: TrainingRequest = Field(description="A dataset without version is the newest at each run.")
    promote: PromoteRequest | None = Field(None, description="null: each run registers, none promotes.")
    enabled: bool = True


class SchedulePatch(Frozen):
    """What can change about a schedule; a field that is absent stays."""

    model_config = _example({"cron": "30 3 1,15 * *", "enabled": False})

    cron: Annotated[Text, Field(max_length=200)] | None = None
    timezone: Annotated[Text, Field(max_length=80)] | None = None
    training: TrainingRequest | None = None
    promote: PromoteRequest | None = Field(None, description="null takes the gate away.")
    enabled: bool | None = None


class AliasRequest(Frozen):
    """Point an alias at a version."""

    model_config = _example({"version": 1, "reason": "checked in the field"})

    version: int = Field(ge=1, le=2**31 - 1)
    reason: Text = ""


class ScenePatch(Frozen):
    """What can be corrected about a scene; a field that is absent stays."""

    model_config = _example({"acquired": "2018-10-12", "sensor": "GF-2"})

    acquired: Moment | None = None
    sensor: Text | None = None
