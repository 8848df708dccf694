"""Trains and maps on real imagery, through HTTP and the client, as a user would do it.

    python benchmarks/real_data.py DATA --out OUT [--only amazon agrifield denmark large]

DATA holds the folders that are named below, with images, labels and a split.csv. The script starts a service on
loopback with its data in OUT, prints tables as Markdown, and writes pictures of the maps to OUT.
"""

import argparse
import csv
import json
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from app.cli.running import running
from app.client import Client, Json, Prediction, Training
from ml.evaluation.metrics import standing
from ml.figures.maps import draw_row, mask_panel, scene_panel

METRICS = ("accuracy", "iou", "kappa", "precision", "recall")
FOREST = {
    "net": {"depth": 4, "width": 16},
    "chip_size": 128,
    "batch_size": 16,
    "epochs": 16,
    "steps_per_epoch": 20,
    "optimizer": {"name": "adamw", "lr": 0.002, "weight_decay": 0.01, "schedule": "cosine"},
}
CANE = {
    "net": {"depth": 3, "width": 16},
    "chip_size": 64,
    "batch_size": 32,
    "epochs": 10,
    "steps_per_epoch": 25,
    "optimizer": {"name": "adamw", "lr": 0.001, "weight_decay": 0.05, "schedule": "cosine"},
}
MAIZE = CANE | {"net": {"depth": 2, "width": 16}, "batch_size": 16, "epochs": 8, "steps_per_epoch": 15}


def amazon(client: Client, data: Path, out: Path) -> None:
    """Forest with dense labels of two classes. One pixel at a time has accuracy 0.862, IoU 0.781, kappa 0.726."""
    data /= "amazon-forest"
    splits = upload_scenes(client, data, bands=("red", "green", "blue"))
    names = [name for part in splits.values() for name in part]
    for name in names:
        client.upload_labels(data / "labels" / f"{name}.tif", name)
    training = learn(client, "amazon", splits, names, FOREST)
    report("amazon-forest, val", training, {"accuracy": 0.862, "iou": 0.781, "kappa": 0.726})
    for scene in splits["val"][:2]:
        prediction, folder = predict(client, scene, "amazon", out)
        draw(folder, "forest", data / "images" / f"{scene}.tif", data / "labels" / f"{scene}.tif")
        print_areas(scene, prediction)


def agrifield(client: Client, data: Path, out: Path) -> None:
    """Sugarcane with sparse labels. One pixel at a time has IoU 0.252 and kappa 0.281."""
    data /= "agrifieldnet-sugarcane"
    splits = upload_scenes(client, data, bands=("blue", "green", "red", "nir"))
    classes = {"sugarcane": 1, "*": 0}
    fields = data / "fields.geojson"
    client.upload_labels(fields, "agrifield", class_field="crop", classes=classes, background=255)
    training = learn(client, "agrifield", splits, ["agrifield"], CANE)
    report("agrifieldnet-sugarcane, val", training, {"iou": 0.252, "kappa": 0.281})
    scene = data / "scene" / "scene.tif"
    client.upload_scene(scene, "agrifield-scene", bands=("blue", "green", "red", "nir"))
    prediction, folder = predict(client, "agrifield-scene", "agrifield", out)
    draw(folder, "sugarcane", scene, data / "scene" / "scene_label.tif")
    print_areas("agrifield-scene", prediction)


def denmark(client: Client, data: Path, out: Path) -> None:
    """Silage maize against every other crop, with polygons from a Shapefile in Latin-1 and a split by blocks."""
    data /= "denmark-fields"
    image = next(data.glob("*.tif"))
    archive = zipped(data, out)
    client.upload_scene(image, "denmark", bands=("red", "green", "blue"))
    classes = {"Silomajs": 1, "*": 0}
    labels = client.upload_labels(archive, "denmark", class_field="Afgroede", classes=classes, background=255)
    print(json.dumps(labels["report"], ensure_ascii=False, indent=1)[:1500])
    fractions = {"train": 0.6, "val": 0.2, "test": 0.2}
    split = {"by": "block", "block_px": 96, "buffer_px": 24, "fractions": fractions}
    dataset = client.create_dataset("denmark", scenes=["denmark"], labels=["denmark"], split=split, leaks="drop").wait()
    print(json.dumps(dataset.document["statistics"], indent=1))
    training = client.train(dataset.id, config=MAIZE).wait(progress=True)
    report("denmark-fields, val", training, {}, "val")
    report("denmark-fields, test", training, {}, "test")
    prediction, folder = predict(client, "denmark", "denmark", out)
    draw(folder, "silage maize", image)
    print_areas("denmark", prediction)


def zipped(data: Path, out: Path) -> Path:
    """The Shapefile in a folder as a zip, which is written into `out`."""
    archive = out / "fields.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for part in data.iterdir():
            if part.suffix in (".shp", ".shx", ".dbf", ".prj", ".cpg"):
                target.write(part, part.name)
    return archive


def large(client: Client, data: Path, out: Path) -> None:
    """A scene that does not declare its nodata, mapped with the model of `agrifield`, whose contract it fits."""
    image = next((data / "large-scene").glob("*.tif"))
    for name, nodata in (("large-as-is", None), ("large-nodata-255", 255)):
        client.upload_scene(image, name, bands=("blue", "green", "red", "nir"), nodata=nodata)
        prediction, folder = predict(client, name, "agrifield", out)
        draw(folder, "sugarcane", image, nodata=nodata)
        print_areas(name, prediction)


def upload_scenes(client: Client, data: Path, bands: Sequence[str]) -> dict[str, list[str]]:
    """Upload the images that split.csv names; the names of the scenes by split."""
    start, splits = time.monotonic(), {"train": list[str](), "val": list[str]()}
    for name, split in read_split(data / "split.csv"):
        client.upload_scene(data / "images" / f"{name}.tif", name, bands=bands)
        splits[split].append(name)
    print(f"\n{sum(map(len, splits.values()))} scenes uploaded in {time.monotonic() - start:.0f} s")
    return splits


def read_split(path: Path) -> Iterator[tuple[str, str]]:
    """Name and split of each labelled scene."""
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            name = Path(next(iter(row.values()))).stem
            if row["split"] in ("train", "val"):
                yield name, row["split"]


def learn(client: Client, name: str, splits: dict[str, list[str]], labels: Sequence[str], config: Json) -> Training:
    """Make the dataset and train on it."""
    scenes = [scene for part in splits.values() for scene in part]
    dataset = client.create_dataset(
        name, scenes=scenes, labels=labels, split={"by": "scene", **splits}, leaks="drop"
    ).wait()
    print(json.dumps(dataset.document["statistics"]["train"]))
    return client.train(dataset.id, config=config).wait(progress=True)


def predict(client: Client, scene: str, model: str, out: Path) -> tuple[Prediction, Path]:
    """Map a scene and fetch its files; the prediction, and the folder of the files."""
    start = time.monotonic()
    prediction = client.predict(scene, model=model).wait()
    print(f"\n{scene} mapped in {time.monotonic() - start:.1f} s, waiting for a worker included")
    prediction.download(out / scene)
    return prediction, out / scene


def report(title: str, training: Training, floor: Json, split: str = "val") -> None:
    """Print the metrics beside those of one pixel at a time, as Markdown."""
    job, metrics = training.document["job"], training.model["metrics"][split]
    best = max(training.series(), key=lambda row: standing(row["val_iou"], row["val_accuracy"]))["epoch"]
    print(f"\n| {title} | {' | '.join(METRICS)} |\n|---|{'---|' * len(METRICS)}")
    for name, values in (("one pixel at a time", floor), ("canemap", metrics)):
        cells = (f"{values[metric]:.3f}" if values.get(metric) is not None else "-" for metric in METRICS)
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"\nbest epoch {best}; {job['started']} to {job['finished']}\n")


def print_areas(name: str, prediction: Prediction) -> None:
    """Print the hectares of a prediction."""
    print(name, json.dumps(prediction.areas()[0]))


def draw(folder: Path, mapped: str, image: Path, truth: Path | None = None, nodata: float | None = None) -> None:
    """Draw the image, the mask if there is one, and the map into a picture beside the folder of the result."""
    panels = [scene_panel("image", image, nodata)]
    if truth:
        panels.append(mask_panel("truth", truth))
    panels.append(mask_panel("map", folder / "classes.tif"))
    draw_row(panels, folder.with_suffix(".png"), caption=folder.name, mapped=mapped)


JOBS: dict[str, Callable[[Client, Path, Path], None]] = {
    "amazon": amazon,
    "agrifield": agrifield,
    "denmark": denmark,
    "large": large,
}


def main() -> None:
    """Do the work on the data sets that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=JOBS, default=list(JOBS))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with running("127.0.0.1", 0, arguments.out / "data", arguments.out / "service.log") as url, Client(url) as client:
        for name in arguments.only:
            JOBS[name](client, arguments.data, arguments.out)


if __name__ == "__main__":
    main()
