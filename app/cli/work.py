"""Commands that start jobs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from app.cli import options, output
from app.cli.output import AsJson
from app.cli.texts import text
from app.client import Client, Json, Prediction, Training

OF_SCENE = ("class", "observed_ha", "unobserved_ha", "mapped_ha", "mapped_mu", "adjusted_ha")
OF_ZONES = ("zone", "name", "class", "observed_ha", "unobserved_ha", "overlap_ha", "mapped_ha", "mapped_mu")
NAMED = 10  # zones of which a reason is told
METRICS = ("accuracy", "iou", "kappa", "precision", "recall", "f1")


def dataset(
    name: str,
    labels: Annotated[str, typer.Option(help="Label sets, comma-separated.")],
    train: Annotated[str, typer.Option(help="Scenes to train on, comma-separated.")] = "",
    val: Annotated[str, typer.Option(help="Scenes that decide which epoch is kept.")] = "",
    test: Annotated[str, typer.Option(help="Scenes that are scored once, at the end.")] = "",
    blocks: Annotated[str, typer.Option(help="Scenes to split by blocks, instead of whole scenes.")] = "",
    block_px: Annotated[int, typer.Option(help="Side of a block, in pixels.")] = 1024,
    buffer_px: Annotated[
        int, typer.Option(help="Unused pixels between the splits, for --blocks: 6 * 2^depth of the net.")
    ] = 96,
    homogenise: Annotated[
        Literal["none", "robust", "histogram", "wallis"], typer.Option(help="Bring all scenes to one radiometry.")
    ] = "none",
    leaks: Annotated[
        Literal["refuse", "drop", "allow"], typer.Option(help="What to do when splits share ground, pixels or fields.")
    ] = "refuse",
    classes: Annotated[
        str, typer.Option(help="Values by class: wheat=1,mustard=2; by default other=0,sugarcane=1.")
    ] = "",
    title: options.Title = None,
    no_wait: options.NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Make a version of a dataset from scenes and labels."""
    by_split = {"train": options.names(train), "val": options.names(val), "test": options.names(test)}
    scenes = options.names(blocks) or [scene for names in by_split.values() for scene in names]
    split: Json = {"by": "scene", **by_split}
    if blocks:
        split = {"by": "block", "block_px": block_px, "buffer_px": buffer_px}
    options_: Json = {"homogenise": homogenise, "leaks": leaks}
    if title:
        options_["title"] = title
    if classes:
        options_["classes"] = options.class_list(classes)
    with Client() as client:
        work = client.create_dataset(name, scenes=scenes, labels=options.names(labels), split=split, **options_)
        if output.finished(work, no_wait, as_json) and not as_json:
            rows = (
                (split, cls, count, statistics["area_ha"].get(cls))
                for split, statistics in work.document["statistics"].items()
                for cls, count in statistics["pixels"].items()
            )
            output.table(("split", "class", "pixels", "area_ha"), rows)
            output.notes(work.document["notes"] or ())


def train(
    dataset: str,
    register_as: Annotated[str | None, typer.Option(help="Name of the model; by default that of the dataset.")] = None,
    preset: Annotated[
        Literal["paper", "robust"] | None,
        typer.Option(help="Settings of the paper, or robust ones for other ground; --config and --set count more."),
    ] = None,
    config: options.Config = None,
    changes: options.Set = None,
    title: options.Title = None,
    no_wait: options.NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Train a U-Net on a dataset and register it as a model version."""
    with Client() as client:
        chosen = options.config(config, changes) | ({"preset": preset} if preset else {})
        training = client.train(dataset, register_as=register_as, config=chosen, title=title)
        if output.finished(training, no_wait, as_json) and not as_json:
            show_metrics(training)


def predict(
    scene: str,
    model: Annotated[str, typer.Option(help="Model version: cane@champion, cane:3, or cane for its champion.")],
    out: Annotated[Path | None, typer.Option(help="Folder to download the result into.")] = None,
    parts: Annotated[int, typer.Option(help="Number of jobs into which the map is cut, for several workers.")] = 1,
    simplify_m: Annotated[
        float | None,
        typer.Option(help="Simplify the outlines of the polygons, in metres; see simplify_m of the config."),
    ] = None,
    config: options.Config = None,
    changes: options.Set = None,
    title: options.Title = None,
    no_wait: options.NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Map a scene and print its hectares."""
    with Client() as client:
        chosen = options.config(config, changes)
        if simplify_m is not None:
            chosen["simplify_m"] = simplify_m
        prediction = client.predict(scene, model=model, config=chosen, parts=parts, title=title)
        if not output.finished(prediction, no_wait, as_json):
            return
        if out is not None:
            saved = [*prediction.download(out), *prediction.describe(out)]
            output.say(text("saved", count=len(saved), folder=out))
        if as_json:
            return
        show_areas(prediction)
        if prediction.tiles:
            output.say(text("tiles", url=prediction.tiles))


def evaluate(
    model: Annotated[str, typer.Argument(help="Model version: cane@champion, cane:3, or cane for its champion.")],
    dataset: Annotated[str, typer.Argument(help="Any dataset that fits the model, like gx:2.")],
    split: Annotated[str, typer.Option(help="Split to score on: train, val or test.")] = "test",
    no_wait: options.NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Score a model version on a split of a dataset."""
    name, _, version = model.partition(":")
    name, _, alias = name.partition("@")
    with Client() as client:
        scored = client.evaluate(name, dataset, which=version or f"@{alias or 'champion'}", split=split)
        if output.finished(scored, no_wait, as_json) and not as_json:
            output.table(("split", *METRICS), [[split, *(scored.document["metrics"][name] for name in METRICS)]])


def show_metrics(training: Training) -> None:
    """Print the metrics of a training by split, and whether `champion` is at the version that it registered."""
    if (made := training.document["model"]) is None:
        output.show(None, False, [text("not_registered", id=training.id)])
        return
    model, champion = training.model, training.document["champion"]
    lines = [text("registered", **made)]
    if champion != made["version"]:
        known = "no_champion" if champion is None else "not_champion"
        lines.append(text(known, champion=champion, **made))
    output.show(model, False, lines)
    rows = ([split, *(metrics[name] for name in METRICS)] for split, metrics in model["metrics"].items() if metrics)
    output.table(("split", *METRICS), rows)
    report = training.document["report"] or {"warnings": ()}
    if calibration := report.get("calibration"):
        output.show(None, False, [text("calibrated", **_calibrated(calibration))])
    for warning in report["warnings"]:
        output.warn(f"warning: {warning}")


def _calibrated(calibration: Json) -> dict[str, str]:
    """The temperature, and the calibration error by split, before and after; "-" without such a split."""
    known = {"temperature": f"{calibration['temperature']:.2f}"}
    for split in ("val", "test"):
        for when in ("before", "after"):
            of = calibration[split]
            known[f"{split}_{when}"] = f"{of[when]['ece']:.3f}" if of else "-"
    return known


def show_areas(prediction: Prediction, zones: str | None = None) -> None:
    """Print the areas of a prediction, in hectares, why there is no interval, and warnings."""
    areas = prediction.areas(zones)
    if zones:
        output.table(OF_ZONES, ([row[column] for column in OF_ZONES] for row in areas))
    else:
        rows = ([*(row[column] for column in OF_SCENE), *(row["ci95_ha"] or (None, None))] for row in areas)
        output.table((*OF_SCENE, "ci95_low_ha", "ci95_high_ha"), rows)
    reasons = ((row["why"], bool(row["ci95_ha"])) for row in areas if row["why"])
    for why, known in dict.fromkeys(reasons):
        found = list(dict.fromkeys(row["zone"] or row["class"] for row in areas if row["why"] == why))
        more = text("and_more", count=len(found) - NAMED) if len(found) > NAMED else ""
        output.warn(f"{'' if known else 'no interval for '}{', '.join(found[:NAMED])}{more}: {why}")
    output.notes(prediction.warnings)


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for command in (dataset, train, predict, evaluate):
        app.command()(command)
