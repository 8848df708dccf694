"""Commands that list what the service holds, newest first: scenes, labels, datasets, trainings, predictions, models."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Annotated, Any

import typer

from app.cli import output
from app.cli.output import AsJson
from app.cli.texts import text
from app.client import Client, Json

Limit = Annotated[int, typer.Option(min=1, max=1000, help="List at most this number.")]
Row = Sequence[object]
Find = Callable[[Client], Iterable[Json]]
METRICS = ("accuracy", "iou", "kappa")
MIB = 1024**2


def scenes(limit: Limit = 50, as_json: AsJson = False) -> None:
    """List the scenes: when they were acquired, their size, their bands."""
    columns = ("scene", "acquired", "rows", "cols", "gsd_m", "bands", "mib", "title")
    _list(lambda client: client.scenes(), columns, _scene, limit, as_json)


def labels(limit: Limit = 50, as_json: AsJson = False) -> None:
    """List the label sets: their kind, their features and the hectares of each class."""
    columns = ("labels", "created", "kind", "features", "classes_ha", "title")
    _list(lambda client: client.labels(), columns, _labels, limit, as_json)


def datasets(limit: Limit = 50, as_json: AsJson = False) -> None:
    """List the datasets: their scenes and the labelled hectares of each class."""
    columns = ("dataset", "created", "status", "scenes", "split_by", "classes_ha", "title")
    _list(lambda client: client.datasets(), columns, _dataset, limit, as_json)


def trainings(limit: Limit = 50, as_json: AsJson = False) -> None:
    """List the trainings: their dataset, the version that each registered, its scores."""
    columns = ("training", "created", "status", "dataset", "model", "split", *METRICS, "title")
    _list(lambda client: client.trainings(), columns, _training, limit, as_json)


def predictions(limit: Limit = 20, as_json: AsJson = False) -> None:
    """List the predictions: their scene, their model and the mapped hectares of each class."""
    columns = ("prediction", "created", "status", "scene", "model", "mapped_ha", "title")
    with Client() as client:
        found = list(islice(client.predictions(), limit + 1))
        if as_json:
            output.show(found[:limit], as_json)
            return
        output.table(columns, [_prediction(client, item) for item in found[:limit]])
        _say_more(len(found), limit)


def models(name: Annotated[str | None, typer.Argument()] = None, limit: Limit = 50, as_json: AsJson = False) -> None:
    """List the models, each with its newest version and those that have an alias, or all versions of one model."""
    with Client() as client:
        found = [client.model(name)] if name else list(islice(client.models(), limit + 1))
        if as_json:
            output.show(found[0] if name else found[:limit], as_json)
            return
        rows = [
            _version(version, model)
            for model in found[:limit]
            for version in (model["versions"] if name else _told(client, model))
        ]
        output.table(("model", "version", "aliases", "created", "split", *METRICS, "title"), rows)
        _say_more(len(found), limit)


def _list(
    find: Callable[[Client], Iterable[Json]],
    columns: Sequence[str],
    row: Callable[[Json], Row],
    limit: int,
    as_json: bool,
) -> None:
    with Client() as client:
        found = list(islice(find(client), limit + 1))
    if as_json:
        output.show(found[:limit], as_json)
        return
    output.table(columns, map(row, found[:limit]))
    _say_more(len(found), limit)


def _say_more(found: int, limit: int) -> None:
    if found > limit:
        output.say(text("more", limit=limit))


def _scene(item: Json) -> Row:
    known = item["properties"]
    rows, cols = known["proj:shape"]
    bands = [band["name"] for band in bands_of(item)]
    return (
        item["id"],
        _day(known["datetime"]),
        rows,
        cols,
        known["gsd"],
        bands,
        item["assets"]["data"]["file:size"] / MIB,
        known.get("title"),
    )


def bands_of(item: Json) -> list[Json]:
    """The bands of a scene, which are in its asset, or in the properties of services from before."""
    found: list[Json] = item["assets"]["data"].get("bands") or item["properties"].get("bands") or []
    return found


def _labels(item: Json) -> Row:
    report = item["report"]
    areas = {row["name"] or row["value"]: row["area_ha"] for row in report["by_class"]}
    return item["id"], item["created"], report["kind"], report["features"], _by_class(areas), item.get("title")


def _dataset(item: Json) -> Row:
    total = item["statistics_total"]
    areas = _by_class(total["area_ha"]) if total else None
    start = (item["id"], item["created"], item["job"]["status"])
    return *start, len(item["scenes"]), item["split"]["by"], areas, item.get("title")


def _training(item: Json) -> Row:
    model = "{name}:{version}".format(**item["model"]) if item["model"] else None
    start = (item["id"], item["created"], item["job"]["status"], item["dataset"], model)
    return *start, *_scores(item["metrics"] or {}), item.get("title")


def _prediction(client: Client, item: Json) -> Row:
    known = item["properties"]
    model = "{name}:{version}".format(**known["model"])
    areas = client.prediction(item["id"]).areas() if known["status"] == "successful" else []
    mapped = areas[0]["mapped_ha"] if len(areas) == 1 else _by_class({row["class"]: row["mapped_ha"] for row in areas})
    start = (item["id"], known["created"], known["status"])
    return *start, known["scene"], model, mapped or None, known.get("title")


def _told(client: Client, model: Json) -> Iterator[Json]:
    """The newest version of a model and all versions with an alias, newest first."""
    known = {version["version"]: version for version in model["versions"]}
    for number in sorted(known.keys() | set(model["aliases"].values()), reverse=True):
        yield known.get(number) or client.model_version(model["name"], number)


def _version(version: Json, model: Json) -> Row:
    """A row of a version, with its title, or else that of its model."""
    start = (version["name"], version["version"], version["aliases"], version["created"])
    return *start, *_scores(version["metrics"]), version.get("title") or model.get("title")


def _scores(metrics: Json) -> Row:
    """The split that a model was scored on, and its scores there: those of test, or else those of val."""
    split = next((split for split in ("test", "val") if metrics.get(split)), None)
    found: dict[str, Any] = metrics[split] if split else {}
    return split, *(found.get(name) for name in METRICS)


def _by_class(areas: dict[Any, float]) -> str:
    return ", ".join(f"{name} {area:.2f}" for name, area in areas.items())


def _day(moment: str | None) -> str | None:
    return moment and moment[:10]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for command in (scenes, labels, datasets, trainings, predictions, models):
        app.command()(command)
