"""Compares recipes on ground that nobody trained on: whole regions of amazon-forest, each left out once.

    python benchmarks/recipes.py DATA --out OUT [--regions 0,1,2,3,4,5] [--seeds 0,1,2] [--steps 320]
                                   [--only 'paper;robust']

DATA holds images, labels and split.csv of amazon-forest, with the place of each scene. The scenes are divided into six
regions by longitude and latitude. For each region a net is trained on four others, watched on the next one, and scored
on the region. The counts of all regions are pooled, and the recipes are compared by scenes and seeds. Finished
trainings in OUT are not repeated, so a table can be filled piece by piece.
"""

import argparse
import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ml.checkpoint_header import CheckpointHeader, read_header
from ml.config import TrainConfig
from ml.contract import ClassDef, Method
from ml.data import SceneFile, TrainingData
from ml.datasets.prepare import LabelFile, prepare
from ml.datasets.splits import SceneSplit
from ml.evaluation.comparison import ScoredTraining, compare
from ml.evaluation.comparison_text import as_markdown
from ml.evaluation.metrics import Metrics
from ml.labels.classes import LabelOptions
from ml.nn.training.train import train

REGIONS = 6
CLASSES = (ClassDef(value=0, name="other"), ClassDef(value=1, name="forest"))
SHARED: dict[str, Any] = {"net": {"depth": 4, "width": 16}, "chip_size": 128, "batch_size": 16, "review_labels": False}
ADAMW = {"name": "adamw", "lr": 0.002, "weight_decay": 0.01, "schedule": "cosine"}
RADIOMETRY = ["crop", "flip", "rotate", "translate", "scale", "affine", "noise", "radiometry"]


class Recipe(NamedTuple):
    """Settings of a dataset and of a training."""

    homogenise: Method | None
    config: dict[str, Any]


RECIPES: Mapping[str, Recipe] = {  # the first one is what the others are compared with
    "adamw, best epoch": Recipe(None, {"optimizer": ADAMW}),
    "paper": Recipe(None, {"preset": "paper-1"}),
    "homogenised": Recipe("robust", {"optimizer": ADAMW}),
    "homogenised, radiometry": Recipe("robust", {"optimizer": ADAMW, "augment": RADIOMETRY}),
    "homogenised, radiometry, averaged": Recipe(
        "robust", {"optimizer": ADAMW, "augment": RADIOMETRY, "keep": "averaged"}
    ),
    "robust": Recipe(None, {"preset": "robust-1"}),
    "homogenised, robust": Recipe("robust", {"preset": "robust-1"}),
}


def main() -> None:
    """Train what is not in OUT yet, and print the comparison of what is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--regions", default=",".join(map(str, range(REGIONS))))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int, default=320)
    parser.add_argument("--only", default=";".join(RECIPES), help="recipes, separated by semicolons")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    regions, seeds = ([int(number) for number in text.split(",")] for text in (given.regions, given.seeds))
    chosen = [name for name in RECIPES if name in given.only.split(";")]
    scored = []
    for seed in seeds:
        for name in chosen:
            headers = [trained(given.data, given.out, name, region, seed, given.steps) for region in regions]
            scored.append(pooled(name, seed, headers))
            print(f"{name}, seed {seed}: kappa {scored[-1].metrics.kappa:.4f}", flush=True)
    print(as_markdown(compare(scored)))


def trained(data: Path, out: Path, name: str, region: int, seed: int, steps: int) -> CheckpointHeader:
    """The header of the model of a recipe that has not seen a region; it is trained if it is not in `out`."""
    recipe = RECIPES[name]
    folder = out / name.replace(", ", "-") / f"region{region}-seed{seed}-steps{steps}"
    folder.mkdir(parents=True, exist_ok=True)
    settings = {**SHARED, **recipe.config, "seed": seed, "steps_per_epoch": 20, "epochs": steps // 20}
    if not (folder / "model.safetensors").exists():
        dataset = of_region(data, out / f"data-{recipe.homogenise}-{region}", region, recipe.homogenise)
        train(TrainConfig.model_validate(settings), dataset, folder)
    return read_header(folder / "model.safetensors")


def of_region(data: Path, out: Path, region: int, homogenise: Method | None) -> TrainingData:
    """The dataset whose test split is a region, and whose val split is the next one."""
    regions = divided(data / "split.csv")
    parts = {"test": regions[region], "val": regions[(region + 1) % REGIONS]}
    parts["train"] = [scene for of in regions for scene in of if scene not in parts["test"] + parts["val"]]
    names = [scene for part in parts.values() for scene in part]
    scenes = [
        SceneFile(name=name, path=data / "images" / f"{name}.tif", bands=("red", "green", "blue")) for name in names
    ]
    labels = [LabelFile(name=name, path=data / "labels" / f"{name}.tif", options=LabelOptions()) for name in names]
    split = SceneSplit(by="scene", **{part: tuple(of) for part, of in parts.items()})
    return prepare(scenes, labels, split, CLASSES, out, homogenise=homogenise).training_data


def divided(split: Path) -> list[list[str]]:
    """The names of the scenes by region: three strips of longitude, each divided by latitude, all of about one size."""
    with split.open(encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: float(row["west"]))
    strips = (rows[len(rows) * strip // 3 : len(rows) * (strip + 1) // 3] for strip in range(3))
    return [part for strip in strips for part in _halves(sorted(strip, key=lambda row: float(row["south"])))]


def _halves(rows: Sequence[Mapping[str, str]]) -> Iterator[list[str]]:
    names = [row["scene"] for row in rows]
    yield from (names[: len(names) // 2], names[len(names) // 2 :])


def pooled(name: str, seed: int, headers: Sequence[CheckpointHeader]) -> ScoredTraining:
    """The scores of a recipe on all regions, each by the model that has not seen it."""
    blocks = {scene: counts for header in headers for scene, counts in header.details["test"].blocks.items()}
    confusion = np.sum([header.test.confusion for header in headers if header.test], axis=0)
    return ScoredTraining(variant=name, seed=seed, metrics=Metrics.from_confusion(confusion), blocks=blocks)


if __name__ == "__main__":
    main()
