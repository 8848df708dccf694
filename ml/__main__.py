"""`python -m ml train|compare|predict|estimate|check-table|engine`: learning, maps and areas without a service."""

import csv
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from ml.checkpoint_header import read_header
from ml.config import LOVASZ_WEIGHT, PredictConfig, TrainConfig
from ml.contract import UNLABELLED
from ml.data import SceneFile
from ml.datasets.options import DatasetOptions
from ml.datasets.prepare import LabelFile, Prepared, prepare
from ml.datasets.splits import SceneSplit
from ml.estimation.count_table import CountTable, read_count_table
from ml.estimation.report import accuracy_lines, area_lines, as_document
from ml.estimation.stratified import Stratified, stratified
from ml.evaluation.comparison_text import as_csv, as_markdown
from ml.evaluation.consistency import check
from ml.evaluation.metrics import Metrics
from ml.evaluation.plan import Plan
from ml.faults import InputRefused
from ml.figures import Format
from ml.figures.catalogue import Figures, Trained, dataset_figures, experiment_figures, training_figures
from ml.figures.cutouts import dataset_pictures, load_pictures
from ml.figures.style import render
from ml.labels.classes import LabelOptions
from ml.native import library
from ml.presets import Preset
from ml.progress import Progress, Watch
from ml.warm_start import with_net_of

WIDTH = 500  # of tables at most: a terminal may break their lines, and no digit is left out
EXIT_REFUSED, EXIT_IMPOSSIBLE = 3, 4  # the command `canemap` has the same exit codes


cli = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)
console = Console()

Scenes = Annotated[Path, typer.Option(help="Folder of GeoTIFFs.", exists=True, file_okay=False)]
Labels = Annotated[list[Path], typer.Option(help="Polygons, a mask, or a folder of them; repeatable.", exists=True)]
SplitFile = Annotated[Path, typer.Option(help="CSV: the name of a scene first, and a column `split`.", exists=True)]
DataFile = Annotated[
    Path | None,
    typer.Option(
        "--data", help="JSON as in POST /v1/datasets: classes, homogenise, clip_outliers, leaks.", exists=True
    ),
]
ClassField = Annotated[str | None, typer.Option(help="Attribute of the polygons with the class.")]
Classes = Annotated[str | None, typer.Option(help='Class of each of its values as JSON, like {"cane": 1, "*": 0}.')]
FigureFormat = Annotated[Format, typer.Option("--figures", help="File format of the figures.")]
Background = Annotated[int, typer.Option(help="Class of pixels outside all polygons: 255 unlabelled, or 0.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="One setting, like net.width=16; repeatable.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="Settings as a JSON file.", exists=True)]
ChosenPreset = Annotated[Preset | None, typer.Option("--preset", help="Named settings, like robust.")]
Bands = Annotated[str | None, typer.Option(help="Names of the bands in their order, like blue,green,red,nir.")]
Nodata = Annotated[float | None, typer.Option(help="Value of pixels without data, if the files do not declare it.")]


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


def label_options(class_field: str | None, classes: str | None, background: int) -> LabelOptions:
    """The options for reading labels.

    class_field: Attribute with the class. classes: Class of each value of the attribute, a JSON object. background:
    Class of pixels outside all polygons.
    """
    document = {"class_field": class_field, "classes": json.loads(classes or "null"), "background": background}
    return LabelOptions.model_validate(document)


def prepared(
    scenes: Path,
    labels: Sequence[Path],
    split: Path,
    out: Path,
    labelled: LabelOptions,
    options: Path | None,
    bands: str | None,
    nodata: float | None,
    watch: Watch,
) -> Prepared:
    """The dataset of the scenes in a folder and their labels.

    split: CSV with the split of each scene. out: Folder for the masks. labelled: How to read the labels. options: JSON
    file of `DatasetOptions`. bands: Names of the bands, separated by commas. nodata: Value of pixels without data.
    """
    chosen = DatasetOptions.model_validate_json(options.read_text(encoding="utf-8")) if options else DatasetOptions()
    by_split = read_split(split)
    names = [name for members in by_split.values() for name in members]
    found = prepare(
        [scene_file(scenes / f"{name}.tif", bands, nodata) for name in names],
        [LabelFile(name=path.stem, path=path, options=labelled) for path in files_in(labels)],
        SceneSplit(by="scene", **by_split),
        chosen.classes,
        out,
        watch,
        leaks=chosen.leaks,
        homogenise=chosen.method,
        clip=chosen.clip_outliers,
    )
    for note in found.notes:
        console.print(f"[yellow]{note.code}[/] {note.detail} {note.hint}", soft_wrap=True)
    return found


def scene_file(path: Path, bands: str | None, nodata: float | None) -> SceneFile:
    """The scene at `path`, with the bands and the nodata value that the user declares."""
    return SceneFile(name=path.stem, path=path, nodata=nodata, bands=tuple(bands.split(",")) if bands else None)


def merged(config: Path | None, settings: Sequence[str] | None) -> dict[str, Any]:
    """The settings in the file `config`, overridden by `settings` like "net.width=16" (a value is JSON or text)."""
    tree: dict[str, Any] = json.loads(config.read_text(encoding="utf-8")) if config else {}
    for setting in settings or ():
        key, equals, text = setting.partition("=")
        if not equals:
            raise typer.BadParameter(f"{setting} is not a setting: write key=value")
        *branches, leaf = key.split(".")
        node = tree
        for branch in branches:
            node = node.setdefault(branch, {})
        try:
            node[leaf] = json.loads(text)
        except json.JSONDecodeError:
            node[leaf] = text
    return tree


def read_split(path: Path) -> dict[str, tuple[str, ...]]:
    """Names of scenes by split, from a CSV: the first column is the scene's name, the column `split` its split."""
    names: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            if (split := row.get("split", "")) in names:
                names[split].append(next(iter(row.values())))
    return {split: tuple(members) for split, members in names.items()}


def files_in(paths: Sequence[Path]) -> Iterator[Path]:
    """The files in `paths`; a folder stands for the files directly in it, sorted by name."""
    for path in paths:
        yield from sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]


@contextmanager
def refusals() -> Iterator[None]:
    """Print every fault of an input with its remedy instead of a traceback, and exit with `EXIT_REFUSED`."""
    try:
        yield
    except InputRefused as refused:
        for fault in refused.faults:
            console.print(f"[bold red]{fault.code}[/] {escape(fault.detail)}\n  {escape(fault.hint)}", soft_wrap=True)
        raise typer.Exit(EXIT_REFUSED) from refused
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            console.print(f"[bold red]{'.'.join(map(str, error['loc']))}[/] {error['msg']}", soft_wrap=True)
        raise typer.Exit(EXIT_REFUSED) from invalid


@contextmanager
def progress_line() -> Iterator[Watch]:
    """A watch that shows a bar for each stage, and prints the metrics of each epoch and each note as lines above it."""
    columns = (TextColumn("{task.description:>9}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console) as bar:
        tasks: dict[str, TaskID] = {}

        def watch(progress: Progress) -> None:
            if progress.stage not in tasks:
                tasks[progress.stage] = bar.add_task(progress.stage)
            bar.update(tasks[progress.stage], completed=progress.done, total=progress.total)
            if progress.values:
                bar.console.print("  ".join(f"{name} {shown(value)}" for name, value in progress.values.items()))
            if progress.note:
                bar.console.print(progress.note, highlight=False)

        yield watch


def draw_all(figures: Figures, out: Path, format_: Format) -> None:
    """Draw each figure into a file in the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for name, draw in figures.items():
        path = out / f"{name}.{format_}"
        path.write_bytes(render(draw(lang="en"), format_))
        console.print(str(path), soft_wrap=True)


def print_metrics(metrics: dict[str, Metrics | None]) -> None:
    """Print a table of metrics with one row for each split."""
    names = ("accuracy", "iou", "kappa", "precision", "recall", "f1")
    table = Table("split", *names)
    for split, found in metrics.items():
        if found is not None:
            table.add_row(split, *(shown(getattr(found, name)) for name in names))
    console.print(table)


def print_estimates(table: CountTable, found: Stratified, unit: str | None) -> None:
    """Print a table of areas and one of accuracies, and what is to be known about them. unit: That of the areas."""
    areas = Table(
        "class", "points", "mapped", "area", "se", "95 % from", "to", title=f"areas in {unit}" if unit else None
    )
    accuracies = Table("accuracy", "value", "se", "95 % from", "to")
    for lines, printed in ((area_lines(table, found), areas), (accuracy_lines(table, found), accuracies)):
        for line in lines:
            printed.add_row(*map(escape, line))
        console.print(printed, width=WIDTH)
    whys = {one.why for one in (*found.areas, *found.users, *found.producers) if one.why}
    for text in (*sorted(whys), *(f"{note.detail} {note.hint}" for note in (*table.notes, *found.notes))):
        console.print(escape(text), style="yellow", highlight=False, soft_wrap=True)


def shown(value: float | int | None) -> str:
    """The number with four significant digits, or a dash if there is none."""
    return "-" if value is None else f"{value:.4g}"


if __name__ == "__main__":
    cli()
