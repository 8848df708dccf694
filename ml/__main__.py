"""`python -m ml train|predict`: learning and prediction from a shell, with no service at all."""

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from ml.assess.metrics import Metrics
from ml.config import PredictConfig, TrainConfig
from ml.contract import BINARY
from ml.data import SceneFile
from ml.faults import InputRefused
from ml.geo.classes import LabelOptions
from ml.geo.datasets import LabelFile, prepare
from ml.geo.splits import SceneSplit
from ml.progress import Progress, Watch

EXIT_REFUSED = 3  # as of `canemap`

cli = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)
console = Console()

Settings = Annotated[list[str] | None, typer.Option("--set", help="One setting, like net.width=16; repeat.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="Settings as a JSON file.", exists=True)]
Bands = Annotated[str | None, typer.Option(help="Names of the bands in order, like blue,green,red,nir.")]
Nodata = Annotated[float | None, typer.Option(help="Value of pixels without data, where the files do not say so.")]


@cli.command("train")
def train_command(
    scenes: Annotated[Path, typer.Option(help="Folder of GeoTIFFs.", exists=True, file_okay=False)],
    labels: Annotated[list[Path], typer.Option(help="Polygons, a mask, or a folder of them; repeat.", exists=True)],
    split: Annotated[Path, typer.Option(help="CSV: name of a scene first, a column `split`.", exists=True)],
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint.")],
    config: ConfigFile = None,
    settings: Settings = None,
    bands: Bands = None,
    nodata: Nodata = None,
    class_field: Annotated[str | None, typer.Option(help="Attribute of the polygons that holds the class.")] = None,
    classes: Annotated[str | None, typer.Option(help='Its values as JSON, like {"cane": 1, "*": 0}.')] = None,
    background: Annotated[int, typer.Option(help="Where no polygon lies: 0 other, 255 unlabelled.")] = 0,
) -> None:
    """Train a U-Net on scenes and labels; the same command goes on where it was interrupted."""
    from ml.nn.train import train  # torch takes seconds to load: not for --help

    with refusals(), progress_line() as watch:
        chosen = TrainConfig.model_validate(merged(config, settings))
        options = LabelOptions(class_field=class_field, classes=json.loads(classes or "null"), background=background)
        by_split = read_split(split)
        names = [name for members in by_split.values() for name in members]
        prepared = prepare(
            [scene_file(scenes / f"{name}.tif", bands, nodata) for name in names],
            [LabelFile(name=path.stem, path=path, options=options) for path in files_in(labels)],
            SceneSplit(by="scene", **by_split),
            BINARY,
            out / "dataset",
            watch,
        )
        result = train(chosen, prepared.training_data, out, watch)
    print_metrics(result.metrics)
    console.print(f"epoch {result.best_epoch} of {result.epochs} is kept: {result.model}", soft_wrap=True)


@cli.command("predict")
def predict_command(
    model: Annotated[Path, typer.Option(help="A checkpoint, model.safetensors.", exists=True)],
    scene: Annotated[Path, typer.Option(help="A GeoTIFF.", exists=True)],
    out: Annotated[Path, typer.Option(help="Folder for the maps.")],
    config: ConfigFile = None,
    settings: Settings = None,
    bands: Bands = None,
    nodata: Nodata = None,
) -> None:
    """Map a scene; the same command goes on where it was interrupted."""
    from ml.nn.predict import predict

    with refusals(), progress_line() as watch:
        chosen = PredictConfig.model_validate(merged(config, settings))
        result = predict(model, scene_file(scene, bands, nodata), out, chosen, watch)
    for value, area_ha in sorted(result.area_ha.items()):
        console.print(f"class {value}: {area_ha:,.1f} ha")
    console.print(f"observed {result.observed_ha:,.1f} ha, not observed {result.unobserved_ha:,.1f} ha")
    for path in result.files.values():
        console.print(str(path), soft_wrap=True)


def scene_file(path: Path, bands: str | None, nodata: float | None) -> SceneFile:
    """The scene at `path`, with what its owner says of it."""
    return SceneFile(name=path.stem, path=path, nodata=nodata, bands=tuple(bands.split(",")) if bands else None)


def merged(config: Path | None, settings: Sequence[str] | None) -> dict[str, Any]:
    """The settings of the file `config`, overridden by those like "net.width=16" (values are JSON or plain text)."""
    tree: dict[str, Any] = json.loads(config.read_text(encoding="utf-8")) if config else {}
    for setting in settings or ():
        key, equals, text = setting.partition("=")
        if not equals:
            raise typer.BadParameter(f"{setting} is no setting: write key=value")
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
    """Names of scenes by split, from a CSV whose first column is the scene's name and that has a column `split`."""
    names: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            if (split := row.get("split", "")) in names:
                names[split].append(next(iter(row.values())))
    return {split: tuple(members) for split, members in names.items()}


def files_in(paths: Sequence[Path]) -> Iterator[Path]:
    """The files named, and of folders the files in them."""
    for path in paths:
        yield from sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]


@contextmanager
def refusals() -> Iterator[None]:
    """Print what is wrong with an input, every fault with its remedy, instead of a traceback."""
    try:
        yield
    except InputRefused as refused:
        for fault in refused.faults:
            console.print(f"[bold red]{fault.code}[/] {fault.detail}\n  {fault.hint}", soft_wrap=True)
        raise typer.Exit(EXIT_REFUSED) from refused
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            console.print(f"[bold red]{'.'.join(map(str, error['loc']))}[/] {error['msg']}", soft_wrap=True)
        raise typer.Exit(EXIT_REFUSED) from invalid


@contextmanager
def progress_line() -> Iterator[Watch]:
    """A watch that shows one bar a stage, and each row of a training's series as a line above it."""
    columns = (TextColumn("{task.description:>9}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console) as bar:
        tasks: dict[str, TaskID] = {}

        def watch(progress: Progress) -> None:
            if progress.stage not in tasks:
                tasks[progress.stage] = bar.add_task(progress.stage)
            bar.update(tasks[progress.stage], completed=progress.done, total=progress.total)
            if progress.values:
                bar.console.print("  ".join(f"{name} {shown(value)}" for name, value in progress.values.items()))

        yield watch


def print_metrics(metrics: dict[str, Metrics | None]) -> None:
    """A table: one line a split."""
    names = ("accuracy", "iou", "kappa", "precision", "recall", "f1")
    table = Table("split", *names)
    for split, figures in metrics.items():
        if figures is not None:
            table.add_row(split, *(shown(getattr(figures, name)) for name in names))
    console.print(table)


def shown(value: float | int | None) -> str:
    return "-" if value is None else f"{value:.4g}"


if __name__ == "__main__":
    cli()
