"""Commands that upload files and that start jobs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from app.cli import options, output
from app.cli.output import AsJson
from app.client import Client, Json, Prediction, Training

METRICS = ("accuracy", "iou", "kappa", "precision", "recall", "f1")
Files = Annotated[list[Path], typer.Argument(exists=True, dir_okay=False)]
Name = Annotated[str | None, typer.Option(help="Name for the upload; by default that of the file.")]


def upload(
    files: Files,
    name: Name = None,
    acquired: Annotated[str | None, typer.Option(help="Date or time of acquisition.")] = None,
    sensor: Annotated[str | None, typer.Option(help="Sensor of the scene.")] = None,
    bands: Annotated[str | None, typer.Option(help="Names of the bands in order: b,g,r,nir.")] = None,
    nodata: Annotated[float | None, typer.Option(help="Value of pixels without data, if none is declared.")] = None,
    as_json: AsJson = False,
) -> None:
    """Upload GeoTIFFs as scenes."""
    if name and len(files) > 1:
        raise typer.BadParameter("there is one name, but several files", param_hint="--name")
    with Client() as client:
        for file in files:
            item = client.upload_scene(
                file, name, acquired=acquired, sensor=sensor, bands=options.names(bands or ""), nodata=nodata
            )
            output.show(item, as_json, [_scene_line(item)])
            if not as_json:
                output.notes(item["properties"]["warnings"])


def label(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    name: Name = None,
    class_field: Annotated[str | None, typer.Option(help="Attribute that holds the class of a polygon.")] = None,
    classes: Annotated[str | None, typer.Option(help="Class by value of that attribute: sugarcane=1,*=0.")] = None,
    crs: Annotated[str | None, typer.Option(help="CRS of the layer, if the file has none.")] = None,
    background: Annotated[
        int | None, typer.Option(help="Value outside all polygons: 255 (unlabelled), or 0 if all else is class 0.")
    ] = None,
    field_id: Annotated[str | None, typer.Option(help="Attribute that polygons of one field share.")] = None,
    layer: Annotated[str | None, typer.Option(help="Layer to read, of a file that holds several.")] = None,
    as_json: AsJson = False,
) -> None:
    """Upload labels: GeoJSON, GeoPackage, a zipped Shapefile or a raster."""
    with Client() as client:
        labels = client.upload_labels(
            file,
            name,
            class_field=class_field,
            classes=options.classes(classes),
            crs=crs,
            background=background,
            field_id=field_id,
            layer=layer,
        )
    if as_json:
        output.show(labels, as_json)
        return
    report = labels["report"]
    output.show(
        labels, as_json, [f"labels {labels['id']}: {report['kind']}, {report['features']} features, {report['crs']}"]
    )
    columns = ("value", "name", "features", "pixels", "area_ha")
    output.table(columns, ([row[column] for column in columns] for row in report["by_class"]))
    output.notes(report["repairs"] + report["warnings"])


def dataset(
    name: str,
    labels: Annotated[str, typer.Option(help="Label sets, comma-separated.")],
    train: Annotated[str, typer.Option(help="Scenes to train on, comma-separated.")] = "",
    val: Annotated[str, typer.Option(help="Scenes that decide which epoch is kept.")] = "",
    test: Annotated[str, typer.Option(help="Scenes that are scored once, at the end.")] = "",
    blocks: Annotated[str, typer.Option(help="Scenes to split by blocks, instead of whole scenes.")] = "",
    block_px: Annotated[int, typer.Option(help="Side of a block, in pixels.")] = 1024,
    homogenise: Annotated[
        Literal["none", "robust", "histogram", "wallis"], typer.Option(help="Bring all scenes to one radiometry.")
    ] = "none",
    leaks: Annotated[
        Literal["refuse", "drop", "allow"], typer.Option(help="What to do when splits share ground, pixels or fields.")
    ] = "refuse",
    classes: Annotated[
        str, typer.Option(help="Values by class: wheat=1,mustard=2; by default other=0,sugarcane=1.")
    ] = "",
    no_wait: options.NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Make a version of a dataset from scenes and labels."""
    by_split = {"train": options.names(train), "val": options.names(val), "test": options.names(test)}
    scenes = options.names(blocks) or [scene for names in by_split.values() for scene in names]
    split: Json = {"by": "block", "block_px": block_px} if blocks else {"by": "scene", **by_split}
    options_: Json = {"homogenise": homogenise, "leaks": leaks}
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
            output.table(("split", "class", "pixels", "hectares"), rows)
            output.notes(work.document["notes"] or ())


def train(
    dataset: str,
    register_as: Annotated[str | None, typer.Option(help="Name of the model; by default that of the dataset.")] = None,
    config: options.Config = None,
    changes: options.Set = None,
    no_wait: options.NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Train a U-Net on a dataset and register it as a model version."""
    with Client() as client:
        training = client.train(dataset, register_as=register_as, config=options.config(config, changes))
        if output.finished(training, no_wait, as_json) and not as_json:
            show_metrics(training)


def predict(
    scene: str,
    model: Annotated[str, typer.Option(help="Model version: cane@champion, cane:3, or cane for its champion.")],
    out: Annotated[Path | None, typer.Option(help="Folder to download the result into.")] = None,
    parts: Annotated[int, typer.Option(help="Number of jobs into which the map is cut, for several workers.")] = 1,
    config: options.Config = None,
    changes: options.Set = None,
    no_wait: options.NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Map a scene and print its hectares."""
    with Client() as client:
        prediction = client.predict(scene, model=model, config=options.config(config, changes), parts=parts)
        if not output.finished(prediction, no_wait, as_json):
            return
        if out is not None:
            prediction.download(out)
        if not as_json:
            show_areas(prediction)


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
    """Print the metrics of a training, by split."""
    model = training.model
    name, version, champion = model["name"], model["version"], training.document["champion"]
    lines = [f"registered {name} version {version}"]
    if champion != version:
        known = "still has no version" if champion is None else f"is still version {champion}"
        lines.append(f"{name}@champion {known}: `canemap promote {name} {version}` moves it")
    output.show(model, False, lines)
    rows = ([split, *(metrics[name] for name in METRICS)] for split, metrics in model["metrics"].items() if metrics)
    output.table(("split", *METRICS), rows)


def show_areas(prediction: Prediction) -> None:
    """Print the areas of a prediction, in hectares, why there is no interval, and warnings."""
    columns = ("zone", "class", "observed_ha", "unobserved_ha", "mapped_ha", "mapped_mu", "adjusted_ha")
    areas = prediction.areas()
    rows = [[*(row[column] for column in columns), *(row["ci95_ha"] or (None, None))] for row in areas]
    output.table((*columns, "ci95_low_ha", "ci95_high_ha"), rows)
    output.show(None, False, (f"no interval for {row['class']}: {row['why']}" for row in areas if row["why"]))
    output.notes(prediction.warnings)


def _scene_line(item: Json) -> str:
    rows, cols = item["properties"]["proj:shape"]
    bands = ",".join(band["name"] for band in item["assets"]["data"]["bands"])
    return f"scene {item['id']}: {rows} x {cols} px, bands {bands}, {item['properties']['gsd']:.2f} m"


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for command in (upload, label, dataset, train, predict, evaluate):
        app.command()(command)
