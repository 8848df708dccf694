"""The bodies of requests, as `docs/http-api.md` describes them. A body with an unknown key is refused."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from ml.config import PredictConfig, TrainConfig
from ml.datasets.options import DatasetOptions
from ml.datasets.splits import MOST_SCENES, BlockSplit, SceneSplit
from ml.evaluation.plan import Plan
from ml.frozen import Frozen
from ml.sampling.design import Design
from ml.surveys.order import Rule
from ml.text import is_storable, is_visible_name


def storable(text: str) -> str:
    """Return `text` unchanged, or raise ValueError if it has control characters or lone surrogates.

    Databases and terminals cannot handle these. A newline and a tab are allowed.
    """
    if not is_storable(text):
        raise ValueError("remove the control characters")
    return text


def shown(text: str) -> str:
    """Return `text` unchanged, or raise ValueError if it cannot be a name that people read."""
    if not is_visible_name(text):
        raise ValueError("write a title on one line, with a visible character and without control characters")
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
    Field(description="1 to 80 characters of A-Z a-z 0-9 . _ - of which the first is not a dot."),
]
Title = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(shown),
    Field(description="A name for people, in any script, on one line."),
]
EventType = Literal["job.successful", "job.failed", "job.dismissed", "alias.moved"]  # of which webhooks can tell
Scope = Literal["view", "operate", "train", "approve", "admin"]  # what a key allows; each includes those before it
FiguresOf = Literal["datasets", "trainings", "experiments"]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(storable)]


def _example(body: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [body]})


class DatasetRequest(DatasetOptions):
    """Create an immutable version of scenes + labels + split."""

    model_config = _example(
        {
            "name": "gx2018",
            "title": "广西甘蔗 2018",
            "scenes": ["s1", "s2", "s3"],
            "labels": ["plots"],
            "split": {"by": "scene", "train": ["s1"], "val": ["s2"], "test": ["s3"]},
        }
    )

    name: Name
    scenes: tuple[Reference, ...] = Field(min_length=1, max_length=MOST_SCENES)
    labels: tuple[Reference, ...] = Field(min_length=1, max_length=1000)
    split: Annotated[SceneSplit | BlockSplit, Field(discriminator="by")]
    title: Title | None = None


class TrainingRequest(Frozen):
    """Train a net on a dataset and register it as a model version."""

    model_config = _example(
        {"dataset": "gx2018:1", "register_as": "cane", "config": {"epochs": 40, "net": {"width": 32}}}
    )

    dataset: Reference
    register_as: Name | None = Field(None, description="Name of the model; by default the name of the dataset.")
    config: TrainConfig = TrainConfig()
    title: Title | None = None


class ExperimentRequest(Plan):
    """Train variants with several seeds on a dataset, and compare them on its test split, or on val without one."""

    model_config = _example(
        {"dataset": "gx2018:1", "seeds": [0, 1, 2], "config": {"epochs": 40}, "lovasz_weights": [0, 0.25, 0.5, 1]}
    )

    dataset: Reference
    register_as: Name | None = Field(
        None, description="Register each training as a version of this model; by default none is registered."
    )
    title: Title | None = None


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
        description="Number of jobs that the map is divided into, each with some of its rows, so that several workers "
        "share it. The pixels are the same for any number.",
    )
    title: Title | None = None


class SampleRequest(Frozen):
    """Draw a probability sample of a map, to be labelled by people."""

    model_config = _example({"map": "prd_1", "design": {"kind": "stratified", "n": 400, "seed": 0}})

    map: Reference = Field(description="Id of a prediction whose job has succeeded.")
    zones: Reference | None = Field(None, description="Not offered yet: null.")
    design: Design = Field(Design(), description="Either `n` or `target_cv` must be given.")
    title: Title | None = None


class SceneQuery(Frozen):
    """Scenes by their place and time, instead of a list."""

    bbox: tuple[Annotated[float, Field(strict=True)], ...] | None = Field(
        None, min_length=4, max_length=4, description="West, south, east and north in degrees."
    )
    interval: Reference | None = Field(
        None, alias="datetime", description="Time of acquisition, or start/end; .. leaves an end open."
    )


class SurveyOptions(Frozen):
    """How the maps of a survey are made, and put together."""

    zones: Reference | None = Field(
        None, description="Id of a zone set by which hectares are measured with the mosaic. Others can be asked later."
    )
    overlap: Rule = Field(
        "newest",
        description="Which scene a pixel comes from, of those that have observed it: newest, by `acquired`; best, the "
        "one of which the largest share was observed; priority, the first in `scenes`.",
    )
    crs: Reference | None = Field(
        None, description="CRS of the mosaic, like EPSG:32649; by default that of most scenes."
    )
    resolution_m: float | None = Field(
        None,
        gt=0,
        le=100_000,
        description="Side of a pixel of the mosaic in metres; by default its pixels continue those of the first scene "
        "in its CRS.",
    )
    config: PredictConfig = Field(
        PredictConfig(outputs=("classes",)), description="The settings of the prediction of each scene."
    )


class SurveyRequest(SurveyOptions):
    """Map many scenes with one model, as one mosaic in which each piece of ground counts once."""

    model_config = _example(
        {"scenes": ["s1", "s2"], "model": "cane@champion", "zones": "counties", "overlap": "priority"}
    )

    scenes: tuple[Reference, ...] | None = Field(
        None, min_length=1, max_length=MOST_SCENES, description="Ids of scenes; or else `query`."
    )
    query: SceneQuery | None = None
    model: Reference = Field(description='"cane@champion", "cane:3", or "cane" for its champion.')
    title: Title | None = None


class EvaluationRequest(Frozen):
    """Score a model version on one split of a dataset."""

    model_config = _example({"dataset": "gx2018:1", "split": "test"})

    dataset: Reference
    split: Literal["train", "val", "test"] = "test"
    title: Title | None = None


class EvaluationInputs(EvaluationRequest):
    """Score a model version on one split of a dataset."""

    model: Reference = Field(description='"cane@champion", "cane:3", or "cane" for its champion.')


class Execution(Frozen):
    """Do the work of a process with these inputs, as OGC API - Processes 1.0 has it."""

    model_config = _example({"inputs": {"scene": "s3", "model": "cane@champion"}})

    inputs: dict[str, Any] = Field(
        default_factory=dict,
        max_length=100,
        description='Values by name, as the process describes them. {"value": ...} is the value in it.',
    )
    outputs: dict[str, Any] = Field(
        default_factory=dict,
        max_length=100,
        description="Names of outputs. The results have all outputs, whichever stand here.",
    )
    response: Literal["document"] = Field("document", description="The results are a document with links.")
    mode: Literal["async", "auto"] = Field("async", description="The work is always done as a job.")


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

    model_config = _example({"cron": "30 3 1,15 * *", "enabled": False})

    cron: Annotated[Text, Field(max_length=200)] | None = None
    timezone: Annotated[Text, Field(max_length=80)] | None = None
    training: TrainingRequest | None = None
    promote: PromoteRequest | None = Field(None, description="null removes the gate.")
    enabled: bool | None = None
    always: bool | None = None
    title: Title | None = Field(None, description="null removes the title.")


class AliasRequest(Frozen):
    """Point an alias at a version."""

    model_config = _example({"version": 1, "reason": "checked in the field"})

    version: int = Field(ge=1, le=2**31 - 1)
    reason: Text = ""


class ScenePatch(Frozen):
    """Correct the metadata of a scene. A field that is absent stays as it is."""

    model_config = _example({"acquired": "2018-10-12", "sensor": "GF-2", "title": "武鸣 2018"})

    acquired: Moment | None = None
    sensor: Annotated[Text, Field(max_length=200)] | None = None
    title: Title | None = Field(None, description="null removes the title.")


class StacSearch(Frozen):
    """Search the STAC catalogue."""

    model_config = _example({"collections": ["scenes"], "bbox": [107, 22, 109, 24], "datetime": "2018-10-01/.."})

    ids: tuple[Reference, ...] | None = Field(None, max_length=1000)
    collections: tuple[Reference, ...] | None = Field(None, max_length=100)
    bbox: tuple[Annotated[float, Field(strict=True)], ...] | None = Field(
        None, min_length=4, max_length=6, description="West, south, east and north in degrees."
    )
    interval: Reference | None = Field(
        None, alias="datetime", description="Time of acquisition, or start/end; .. leaves an end open."
    )
    intersects: dict[str, Any] | None = Field(None, description="A geometry of GeoJSON that items must touch.")
    limit: int = Field(100, ge=1, le=10_000, description="Largest number of items on a page, at most 1000.")
    token: str | None = Field(None, max_length=600, description="`next` of the previous page.")


class TitlePatch(Frozen):
    """Change the title of a resource. null removes it."""

    model_config = _example({"title": "武鸣 2018"})

    title: Title | None


class ModelPatch(Frozen):
    """Change what is said of a model as a whole. A field that is absent stays as it is."""

    model_config = _example({"title": "甘蔗 2018", "approval": True})

    title: Title | None = Field(None, description="null removes the title.")
    approval: bool | None = Field(
        None,
        description="Whether only keys with the scope approve may move its aliases, delete it, and change this. A "
        "schedule then proposes a better version, and does not promote it.",
    )


Lifetime = Annotated[
    str,
    StringConstraints(pattern=r"^[1-9][0-9]{0,4}[dhm]$"),
    Field(description="Number of days, hours or minutes: 90d, 12h, 30m."),
]


def period(text: str) -> timedelta:
    """The length of time that a `Lifetime` names."""
    unit = {"d": "days", "h": "hours", "m": "minutes"}[text[-1]]
    return timedelta(**{unit: int(text[:-1])})


class KeyRequest(Frozen):
    """Make a key for a program."""

    model_config = _example({"name": "portal of Nanning", "tenant": "nanning", "scope": "operate", "expires": "90d"})

    name: Annotated[Title, Field(max_length=80, description="What the key is for, in any script.")]
    scope: Scope = Field(description="What the key allows; each of them includes those before it.")
    tenant: Reference | None = Field(None, description="Whose key it is; by default that of your own key.")
    expires: Lifetime | None = Field(None, description="After what time it is refused: 90d, 12h, 30m; null for never.")


class KeyRotation(Frozen):
    """Replace a key by a new one."""

    model_config = _example({"overlap": "1d"})

    overlap: Lifetime = Field("1d", description="For how long the old key stays valid beside the new one.")


WebhookUrl = Annotated[
    str,
    StringConstraints(min_length=1, max_length=2000),
    AfterValidator(storable),
    Field(description="Where messages are sent: an https address on the internet, without a user name."),
]
EventTypes = Annotated[
    tuple[EventType, ...],
    Field(min_length=1, max_length=20, description="Of what to tell; null for everything, also what is added later."),
]


class WebhookRequest(Frozen):
    """Register an address to which messages about events are sent."""

    model_config = _example({"url": "https://portal.example.org/canemap", "events": ["job.successful", "job.failed"]})

    url: WebhookUrl
    events: EventTypes | None = None
    title: Title | None = None


class WebhookPatch(Frozen):
    """Change a webhook, or enable or disable it. Fields that are left out stay."""

    model_config = _example({"enabled": False})

    url: WebhookUrl | None = None
    events: EventTypes | None = None
    title: Title | None = None
    enabled: bool | None = None


Amount = Annotated[int, Field(ge=0, lt=10**18)]


class Limits(Frozen):
    """What a tenant may use, and each of its keys. null is the default of the service, and 0 is no limit."""

    requests_per_minute: Amount | None = Field(None, description="Requests that each key may send in a minute.")
    uploads: Amount | None = Field(None, description="Files that each key may send at once.")
    downloads: Amount | None = Field(None, description="Files that each key may fetch at once.")
    streams: Amount | None = Field(None, description="Requests of each key that wait for jobs at once, also by events.")
    queued_jobs: Amount | None = Field(None, description="Jobs of the tenant that wait or run.")
    stored_bytes: Amount | None = Field(None, description="Bytes of all files of the tenant, also of arriving ones.")
    pixels_per_day: Amount | None = Field(
        None, description="Pixels of the scenes that the tenant has mapped on one day of UTC."
    )


class TenantRequest(Frozen):
    """Make a tenant, or change it."""

    model_config = _example({"title": "南宁市农业农村局", "limits": {"queued_jobs": 100, "stored_bytes": 500 * 10**9}})

    title: Title | None = Field(None, description="null for none.")
    grants: tuple[Reference, ...] | None = Field(
        None,
        max_length=1000,
        description="Models of other tenants that it may use, like province~cane; null leaves them as they are.",
    )
    limits: Limits | None = Field(None, description="All limits of the tenant; null leaves them as they are.")


class SignedUrlRequest(Frozen):
    """Sign the address of a file, a picture or tiles."""

    model_config = _example({"path": "/v1/predictions/prd_1/classes.tif", "expires_s": 600})

    path: Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(storable)] = Field(
        description="Path on the service, without a query. {z}/{x}/{y} may stand in that of tiles."
    )
    expires_s: int = Field(3600, ge=1, le=366 * 86400, description="Seconds for which the address is valid.")
