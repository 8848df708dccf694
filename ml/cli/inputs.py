"""The options of the commands, and the files that they name."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ml.cli.output import console
from ml.data import SceneFile
from ml.datasets.options import DatasetOptions
from ml.datasets.prepare import LabelFile, Prepared, prepare
from ml.datasets.splits import SceneSplit
from ml.figures import Format
from ml.labels.classes import LabelOptions
from ml.presets import Preset
from ml.progress import Watch

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
