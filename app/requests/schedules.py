"""Bodies of requests for schedules, and the gate."""

from typing import Annotated, Literal

from pydantic import Field

from app.requests.learning import TrainingRequest
from app.requests.texts import Name, Text, Title, example
from ml.frozen import Frozen

Metric = Literal["accuracy", "iou", "kappa", "precision", "recall", "f1"]
Difference = Annotated[float, Field(ge=-1, le=1)]


class PromoteRequest(Frozen):
    """The gate: conditions for moving an alias to a new version, by metrics on a split of the training's dataset."""

    alias: Name = "champion"
    metric: Metric = "iou"
    split: Literal["test"] = Field(
        "test", description="Only test: the epoch was chosen by val, the net learnt from train."
    )
    min_gain: Difference = Field(
        0.0, description="Least difference in `metric`: new version - version that the alias points at."
    )
    guards: dict[Metric, Difference] = Field(
        default_factory=dict, description="Least difference in other metrics: -0.01 allows a loss of 0.01."
    )
    floors: dict[Metric, Difference] = Field(
        default_factory=dict,
        description="Least values of metrics of the new version, even if the alias points at no version yet.",
    )
    approval: bool = Field(
        False,
        description="Whether a run only proposes the version that passes, and somebody with the scope approve moves "
        "the alias. A model can ask for this by itself.",
    )


class ScheduleRequest(Frozen):
    """Retrain at the times of a cron expression."""

    model_config = example(
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
    timezone: Annotated[Text, Field(max_length=80, description="A name of the IANA database, like Asia/Shanghai.")] = (
        "UTC"
    )
    training: TrainingRequest = Field(
        description="A dataset without a version means its newest version at the time of each run."
    )
    promote: PromoteRequest | None = Field(
        None, description="The gate. null: each run registers a version, and the alias is not moved."
    )
    enabled: bool = True
    always: bool = Field(
        False,
        description="Train at each time that is due, also if dataset, training and gate are those of the last run: the "
        "weights would be the same.",
    )
    title: Title | None = None


class SchedulePatch(Frozen):
    """Change a schedule. A field that is absent stays as it is."""

    model_config = example({"cron": "30 3 1,15 * *", "enabled": False})

    cron: Annotated[Text, Field(max_length=200)] | None = None
    timezone: Annotated[Text, Field(max_length=80)] | None = None
    training: TrainingRequest | None = None
    promote: PromoteRequest | None = Field(None, description="null removes the gate.")
    enabled: bool | None = None
    always: bool | None = None
    title: Title | None = Field(None, description="null removes the title.")
