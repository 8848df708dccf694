"""Makes the paper's comparison on real imagery, through HTTP: cross-entropy against cross-entropy + w * Lovász.

    python benchmarks/experiments.py DATA --out OUT [--only amazon agrifield crops why] [--seeds 0,1,2]

DATA holds the folders that are named below, with images, labels and a split.csv. The split that the split.csv of
agrifieldnet calls val is the test split here and is scored once; some of its training regions are the validation split.
The script starts a service on loopback with its data in OUT. It prints the tables as Markdown and writes tables and
figures to OUT.
"""

import argparse
import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from app.cli.running import running
from app.client import CanemapError, Client, Experiment, Json

WEIGHTS = (0.0, 0.25, 0.5, 1.0)
FOREST = {
    "net": {"depth": 3, "width": 12},
    "chip_size": 128,
    "batch_size": 8,
    "epochs": 6,
    "steps_per_epoch": 30,
    "review_labels": False,
    "optimizer": {"name": "adamw", "lr": 0.002, "weight_decay": 0.01, "schedule": "cosine"},
}
CROPS = {
    "net": {"depth": 3, "width": 12},
    "chip_size": 64,
    "batch_size": 16,
    "epochs": 5,
    "steps_per_epoch": 40,
    "review_labels": False,
    "optimizer": {"name": "adamw", "lr": 0.001, "weight_decay": 0.05, "schedule": "cosine"},
}
CHOOSING = {"R03", "R04", "R05"}  # regions of agrifieldnet that are the validation split
BLOCKS = {
    "by": "block",
    "block_px": 256,
    "buffer_px": 48,
    "fractions": {"train": 0.6, "val": 0.15, "test": 0.25},
}
Splits = dict[str, list[str]]


def amazon(client: Client, data: Path, seeds: Sequence[int]) -> Experiment:
    """Dense labels of two classes, forest and the rest, split by blocks within the scenes.

    It is not split by region: there the seeds differ by ten points of IoU, which hides any difference of losses.
    """
    data /= "amazon-forest"
    scenes = [name(row) for row in read_rows(data / "split.csv")]
    upload(client, data, scenes, ("red", "green", "blue"))
    for scene in scenes:
        client.upload_labels(data / "labels" / f"{scene}.tif", f"mask-{scene}")
    classes = [{"value": 0, "name": "other"}, {"value": 1, "name": "forest"}]
    dataset = prepare(client, "amazon", scenes, [f"mask-{scene}" for scene in scenes], classes, BLOCKS)
    return client.experiment(dataset, lovasz_weights=WEIGHTS, seeds=seeds, config=FOREST)


def why(client: Client, data: Path, seeds: Sequence[int]) -> Experiment:
    """Test on sugarcane whether balancing, or the loss over the whole batch, explains the result of `agrifield`.

    The dataset must exist, so `agrifield` runs first.
    """
    del data
    both = {"ce": 1.0, "lovasz_hinge": 0.5}
    variants = [
        {"name": "ce, not balanced", "config": {"loss": {"ce": 1.0}, "balance": "none"}},
        {"name": "ce+0.5*lovasz, not balanced", "config": {"loss": both, "balance": "none"}},
        {"name": "ce+0.5*lovasz, per image", "config": {"loss": both | {"per_image": True}}},
    ]
    return client.experiment(client.dataset("agrifield").id, variants=variants, seeds=seeds, config=CROPS)


def agrifield(client: Client, data: Path, seeds: Sequence[int]) -> Experiment:
    """Sparse labels of two classes: sugarcane and other crops."""
    splits = agrifield_scenes(client, data / "agrifieldnet-sugarcane")
    fields = data / "agrifieldnet-sugarcane" / "fields.geojson"
    mapping = {"sugarcane": 1, "*": 0}
    client.upload_labels(fields, "cane", class_field="crop", classes=mapping, background=255)
    classes = [{"value": 0, "name": "other crops"}, {"value": 1, "name": "sugarcane"}]
    dataset = prepare(client, "agrifield", members(splits), ["cane"], classes, {"by": "scene", **splits})
    return client.experiment(dataset, lovasz_weights=WEIGHTS, seeds=seeds, config=CROPS)


def crops(client: Client, data: Path, seeds: Sequence[int]) -> Experiment:
    """Sparse labels of all crops."""
    splits = agrifield_scenes(client, data / "agrifieldnet-sugarcane")
    fields = data / "agrifieldnet-sugarcane" / "fields.geojson"
    values = {crop: value for value, crop in enumerate(crop_names(fields))}
    client.upload_labels(fields, "crops", class_field="crop", classes=values, background=255)
    classes = [{"value": value, "name": crop} for crop, value in values.items()]
    dataset = prepare(client, "crops", members(splits), ["crops"], classes, {"by": "scene", **splits})
    return client.experiment(dataset, lovasz_weights=WEIGHTS, seeds=seeds, config=CROPS)


def agrifield_scenes(client: Client, data: Path) -> Splits:
    """Upload each chip as a scene."""
    splits: Splits = {"train": [], "val": [], "test": []}
    for row in read_rows(data / "split.csv"):
        part = "test" if row["split"] == "val" else "val" if row["region"] in CHOOSING else "train"
        splits[part].append(name(row))
    upload(client, data, members(splits), ("blue", "green", "red", "nir"))
    return splits


def members(splits: Splits) -> list[str]:
    """The names of the scenes of all splits."""
    return [scene for part in splits.values() for scene in part]


def upload(client: Client, data: Path, scenes: Sequence[str], bands: Sequence[str]) -> None:
    """Upload images; scenes that exist already are left as they are."""
    for scene in scenes:
        client.upload_scene(data / "images" / f"{scene}.tif", scene, bands=bands)


def prepare(
    client: Client, dataset: str, scenes: Sequence[str], labels: Sequence[str], classes: Sequence[Json], split: Json
) -> str:
    """The id of the dataset, made only if it does not exist, so that an interrupted script can be continued."""
    try:
        return client.dataset(dataset).wait().id
    except CanemapError:
        work = client.create_dataset(dataset, scenes=scenes, labels=labels, split=split, classes=classes, leaks="drop")
        return work.wait().id


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a split.csv that belong to a split."""
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["split"] in ("train", "val")]


def name(row: dict[str, str]) -> str:
    """The name of the scene of a row, from the first column."""
    return Path(next(iter(row.values()))).stem


def crop_names(fields: Path) -> list[str]:
    """The names of the crops of all fields, sorted."""
    found = json.loads(fields.read_text(encoding="utf-8"))["features"]
    return sorted({feature["properties"]["crop"] for feature in found})


JOBS: dict[str, Callable[[Client, Path, Sequence[int]], Experiment]] = {
    "amazon": amazon,
    "agrifield": agrifield,
    "crops": crops,
    "why": why,
}


def main() -> None:
    """Run the experiments that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--seeds", default="0,1,2")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    with running("127.0.0.1", 0, arguments.out / "data", arguments.out / "service.log") as url, Client(url) as client:
        for job in arguments.only:
            experiment = JOBS[job](client, arguments.data, seeds).wait(progress=True)
            folder = arguments.out / job
            folder.mkdir(exist_ok=True)
            for f in ("json", "csv", "md"):
                (folder / f"table.{f}").write_text(experiment.table(f), encoding="utf-8")
            experiment.figures(folder)
            print(f"\n## {job}\n\n{experiment.table('md')}", flush=True)


if __name__ == "__main__":
    main()
