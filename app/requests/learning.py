"""Bodies of requests for trainings, experiments, evaluations and models."""

from typing import Literal

from pydantic import Field

from app.requests.texts import Name, Reference, Text, Title, example
from ml.config import TrainConfig
from ml.evaluation.plan import Plan
from ml.frozen import Frozen

FiguresOf = Literal["datasets", "trainings", "experiments"]


class TrainingRequest(Frozen):
    """Train a net on a dataset and register it as a model version."""

    model_config = example(
        {"dataset": "gx2018:1", "register_as": "cane", "config": {"epochs": 40, "net": {"width": 32}}}
    )

    dataset: Reference
    register_as: Name | None = Field(None, description="Name of the model; by default the name of the dataset.")
    config: TrainConfig = TrainConfig()
    title: Title | None = None


class ExperimentRequest(Plan):
    """Train variants with several seeds on a dataset, and compare them on its test split, or on val without one."""

    model_config = example(
        {"dataset": "gx2018:1", "seeds": [0, 1, 2], "config": {"epochs": 40}, "lovasz_weights": [0, 0.25, 0.5, 1]}
    )

    dataset: Reference
    register_as: Name | None = Field(
        None, description="Register each training as a version of this model; by default none is registered."
    )
    title: Title | None = None


class EvaluationRequest(Frozen):
    """Score a model version on one split of a dataset."""

    model_config = example({"dataset": "gx2018:1", "split": "test"})

    dataset: Reference
    split: Literal["train", "val", "test"] = "test"
    title: Title | None = None


class AliasRequest(Frozen):
    """Point an alias at a version."""

    model_config = example({"version": 1, "reason": "checked in the field"})

    version: int = Field(ge=1, le=2**31 - 1)
    reason: Text = ""


class ModelPatch(Frozen):
    """Change what is said of a model as a whole. A field that is absent stays as it is."""

    model_config = example({"title": "甘蔗 2018", "approval": True})

    title: Title | None = Field(None, description="null removes the title.")
    approval: bool | None = Field(
        None,
        description="Whether only keys with the scope approve may move its aliases, delete it, and change this. A "
        "schedule then proposes a better version, and does not promote it.",
    )
