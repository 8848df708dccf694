"""`python -m ml train|compare|predict|estimate|check-table|engine`: learning, maps and areas without a service."""

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ml.checkpoint_header import read_header
from ml.cli.inputs import (
    Background,
    Bands,
    ChosenPreset,
    Classes,
    ClassField,
    ConfigFile,
    DataFile,
    FigureFormat,
    Labels,
    Nodata,
    Scenes,
    Settings,
    SplitFile,
    label_options,
    merged,
    prepared,
    scene_file,
)
from ml.cli.output import EXIT_IMPOSSIBLE, console, draw_all, print_estimates, print_metrics, progress_line, refusals
from ml.config import LOVASZ_WEIGHT, PredictConfig, TrainConfig
from ml.contract import UNLABELLED
from ml.estimation.count_table import read_count_table
from ml.estimation.report import as_document
from ml.estimation.stratified import stratified
from ml.evaluation.comparison_text import as_csv, as_markdown
from ml.evaluation.consistency import check
from ml.evaluation.plan import Plan
from ml.figures.catalogue import Trained, dataset_figures, experiment_figures, training_figures
from ml.figures.cutouts import dataset_pictures, load_pictures
from ml.native import library
from ml.warm_start import with_net_of

cli = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)


@cli.command("train")
def train_command(
    scenes: Scenes,
    labels: Labels,
    split: SplitFile,
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint.")],
    config: ConfigFile = None,
    settings: Settings = None,
    options: DataFile = None,
    bands: Bands = None,
    nodata: Nodata = None,
    class_field: ClassField = None,
    classes: Classes = None,
    background: Background = UNLABELLED,
    figures: FigureFormat = "png",
    preset: ChosenPreset = None,
    init: Annotated[Path | None, typer.Option(help="Checkpoint with whose weights to begin.", exists=True)] = None,
) -> None:
    """Train a U-Net on scenes and labels; after an interruption, the same command continues the training.

    `torchrun --nproc-per-node 2 -m ml train ...` divides each batch between two processes.
    """
    from ml.nn.training.pictures import training_pictures
    from ml.nn.training.ranks import joined
    from ml.nn.training.train import train  # torch takes seconds to load, so --help does not load it

    with joined() as ranks, refusals(), progress_line() as watch:
        console.quiet = not ranks.first
        chosen = TrainConfig.model_validate(
            merged(config, settings)
            | ({"preset": preset} if preset else {})
            | ({"init": f"sha256:{_sha256(init)}"} if init else {})
        )
        chosen = with_net_of(chosen, read_header(init).config.net) if init else chosen
        labelled = label_options(class_field, classes, background)
        found = ranks.first_does(
            lambda: prepared(scenes, labels, split, out / "dataset", labelled, options, bands, nodata, watch)
        )
        data = found.training_data
        result = train(chosen, data, out, watch, ranks, init)
        if not ranks.first:
            return
        dataset_pictures(data, out / "dataset" / "pictures.npz")
        training_pictures(result.model, data, out / "pictures.npz")
    print_metrics({"val": result.header.val, "test": result.header.test})
    samples = load_pictures(out / "dataset" / "pictures.npz")
    draw_all(
        dataset_figures(found.statistics["train"], data.contract.classes, samples), out / "figures" / "dataset", figures
    )
    trained = Trained(out.name, result.header, result.series, load_pictures(out / "pictures.npz"))
    draw_all(training_figures(trained), out / "figures", figures)
    average = "the average up to " if chosen.keep == "averaged" else ""
    epoch = f"{average}epoch {result.header.best_epoch} of {result.epochs}"
    console.print(f"{epoch} is kept: {result.model}", soft_wrap=True)


@cli.command("compare")
def compare_command(
    scenes: Scenes,
    labels: Labels,
    split: SplitFile,
    out: Annotated[Path, typer.Option(help="Folder for the trainings, the table and the figures.")],
    lovasz: Annotated[str, typer.Option(help="Weights of the Lovász loss, like 0,0.25,0.5,1; 0 is CE alone.")] = "",
    plan: Annotated[
        Path | None, typer.Option(help="JSON with `variants`, as in POST /v1/experiments.", exists=True)
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds, separated by commas.")] = "0,1,2",
    config: ConfigFile = None,
    settings: Settings = None,
    options: DataFile = None,
    bands: Bands = None,
    nodata: Nodata = None,
    class_field: ClassField = None,
    classes: Classes = None,
    background: Background = UNLABELLED,
    figures: FigureFormat = "png",
) -> None:
    """Train each variant with each seed and compare them: the paper's Table 1; by default CE and CE + 0.5 * Lovász."""
    from ml.nn.training.local_experiment import run_experiment
    from ml.nn.training.ranks import refuse_ranks

    with refusals(), progress_line() as watch:
        refuse_ranks("An experiment")
        named: dict[str, Any] = json.loads(plan.read_text(encoding="utf-8")) if plan else {}
        weights = [float(weight) for weight in lovasz.split(",") if weight] or ([] if plan else [0.0, LOVASZ_WEIGHT])
        document = {"seeds": [int(seed) for seed in seeds.split(",")], "lovasz_weights": weights, **named}
        chosen = Plan.model_validate({**document, "config": merged(config, settings)})
        labelled = label_options(class_field, classes, background)
        found = prepared(scenes, labels, split, out / "dataset", labelled, options, bands, nodata, watch)
        data = found.training_data
        comparison, trainings = run_experiment(chosen, data, out / "runs", watch)
    (out / "table.json").write_text(comparison.model_dump_json(indent=1), encoding="utf-8")
    (out / "table.csv").write_text(as_csv(comparison), encoding="utf-8-sig")
    (out / "table.md").write_text(as_markdown(comparison), encoding="utf-8")
    draw_all(experiment_figures(comparison, trainings), out / "figures", figures)
    console.print(as_markdown(comparison), markup=False, highlight=False, soft_wrap=True)


@cli.command("check-table")
def check_table_command(accuracy: float, iou: float, kappa: float, decimals: int = 4) -> None:
    """Check whether one confusion matrix can have this accuracy, IoU and kappa; the exit code is 4 if none can."""
    verdict = check(accuracy, iou, kappa, decimals=decimals)
    console.print(verdict.statement, soft_wrap=True)
    if not verdict.possible:
        raise typer.Exit(EXIT_IMPOSSIBLE)


@cli.command("engine")
def engine_command() -> None:
    """Show what computes predictions on this CPU, and how to make them faster."""
    for line in filter(None, library.describe()):
        console.print(line, soft_wrap=True)


@cli.command("predict")
def predict_command(
    model: Annotated[Path, typer.Option(help="A checkpoint: the file model.safetensors.", exists=True)],
    scene: Annotated[Path, typer.Option(help="A GeoTIFF.", exists=True)],
    out: Annotated[Path, typer.Option(help="Folder for the maps.")],
    config: ConfigFile = None,
    settings: Settings = None,
    bands: Bands = None,
    nodata: Nodata = None,
) -> None:
    """Map a scene; after an interruption, the same command continues the prediction."""
    from ml.nn.prediction.predict import predict
    from ml.nn.training.ranks import refuse_ranks

    with refusals(), progress_line() as watch:
        refuse_ranks("A prediction")
        chosen = PredictConfig.model_validate(merged(config, settings))
        result = predict(model, scene_file(scene, bands, nodata), out, chosen, watch)
    for value, area_ha in sorted(result.area_ha.items()):
        console.print(f"class {value}: {area_ha:,.1f} ha")
    console.print(f"observed {result.observed_ha:,.1f} ha, not observed {result.unobserved_ha:,.1f} ha")
    for note in result.applicability.notes():
        console.print(f"[yellow]{note.code}[/] {note.detail} {note.hint}", soft_wrap=True)
    for path in result.files.values():
        console.print(str(path), soft_wrap=True)


@cli.command("estimate")
def estimate_command(
    counts: Annotated[
        Path, typer.Option(help="CSV of sample points: a row for each class of the map.", exists=True, dir_okay=False)
    ],
    areas: Annotated[Path, typer.Option(help="CSV: the area of each class on the map.", exists=True, dir_okay=False)],
    pixel_ha: Annotated[
        float | None, typer.Option(help="Hectares of a pixel, if the areas are numbers of pixels.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the estimates as JSON.")] = False,
) -> None:
    """Estimate the areas of classes from a sample of points, drawn at random from each class of a map.

    The columns of the counts are the reference classes. Areas may have any unit, which the estimates then have, too.
    """
    if pixel_ha is not None and not 0 < pixel_ha < math.inf:
        raise typer.BadParameter(f"a pixel of {pixel_ha:g} ha has no area", param_hint="--pixel-ha")
    with refusals():
        table = read_count_table(counts, areas)
    if pixel_ha is not None:
        table = replace(table, mapped=table.mapped * pixel_ha)
    found = stratified(table.counts, table.mapped, table.names)
    unit = None if pixel_ha is None else "ha"
    if as_json:
        print(json.dumps(as_document(table, found, unit), ensure_ascii=False, indent=1))
    else:
        print_estimates(table, found, unit)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    cli()
