"""Draws samples of maps of real imagery, answers them from labels, and counts how often the intervals are right.

    python benchmarks/real_samples.py DATA --out OUT [--only amazon denmark] [--samples 20] [--points 200]

Everything goes through HTTP and the client, as a bureau would do it. DATA holds the folders of `real_data.py`. The
labels of amazon-forest cover each pixel of seven scenes that no net has seen, so the true hectares are known; in
denmark-fields ground outside the fields of silage maize counts as other. The true hectares are summed here from the
labels, with pyproj's geodesic areas. The script starts a service on loopback with its data in OUT, and prints a table
as Markdown.
"""

import argparse
import csv
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyproj
import rasterio
import shapely
from numpy.typing import NDArray
from pyogrio.raw import read
from rasterio.features import rasterize
from rasterio.io import DatasetReader

from app.cli.running import running
from app.client import Client, Json
from benchmarks.real_data import FOREST, MAIZE, learn, upload_scenes, zipped

EPOCHS = 6  # fewer than in `real_data.py`: a worse map makes an interval wider, and no less right
GEOD = pyproj.Geod(ellps="WGS84")


@dataclass(frozen=True)
class Scene:
    """A mapped scene. truth: Class of each pixel, uint8 (rows, cols). pixel_ha: Hectares of a pixel of each row."""

    name: str
    model: str
    truth: NDArray[np.uint8]
    pixel_ha: NDArray[np.float64]

    @property
    def true_ha(self) -> float:
        """Hectares of class 1 in the labels."""
        return float(((self.truth == 1).sum(axis=1) * self.pixel_ha).sum())


def amazon(client: Client, data: Path, _out: Path) -> Iterator[Scene]:
    """Train on the scenes of the train split, and yield those of val."""
    data /= "amazon-forest"
    splits = upload_scenes(client, data, bands=("red", "green", "blue"))
    names = [name for part in splits.values() for name in part]
    for name in names:
        client.upload_labels(data / "labels" / f"{name}.tif", name)
    learn(client, "forest", splits, names, FOREST | {"epochs": EPOCHS})
    for name in splits["val"]:
        path = data / "labels" / f"{name}.tif"
        with rasterio.open(path) as file:
            yield Scene(name, "forest", file.read(1), pixel_ha(file))


def denmark(client: Client, data: Path, out: Path) -> Iterator[Scene]:
    """Train on some blocks of the scene, and yield all of it."""
    data /= "denmark-fields"
    image, layer = next(data.glob("*.tif")), next(data.glob("*.shp"))
    client.upload_scene(image, "denmark", bands=("red", "green", "blue"))
    classes = {"Silomajs": 1, "*": 0}
    client.upload_labels(zipped(data, out), "denmark", class_field="Afgroede", classes=classes)
    split = {"by": "block", "block_px": 96, "buffer_px": 24, "fractions": {"train": 0.6, "val": 0.2, "test": 0.2}}
    dataset = client.create_dataset("maize", scenes=["denmark"], labels=["denmark"], split=split, leaks="drop").wait()
    client.train(dataset.id, config=MAIZE).wait(progress=True)
    meta, _, shapes, (crops,) = read(layer, columns=["Afgroede"], encoding="ISO-8859-1")
    with rasterio.open(image) as file:
        to_scene = pyproj.Transformer.from_crs(meta["crs"], file.crs, always_xy=True)
        maize = shapely.transform(
            shapely.from_wkb(shapes[crops == "Silomajs"]), lambda xy: np.column_stack(to_scene.transform(*xy.T))
        )
        truth = rasterize(maize, out_shape=file.shape, transform=file.transform, dtype="uint8")
        yield Scene("denmark", "maize", truth, pixel_ha(file))


def pixel_ha(file: DatasetReader) -> NDArray[np.float64]:
    """Hectares of the middle pixel of each row, as a polygon of geodesics."""
    to_degrees = pyproj.Transformer.from_crs(file.crs, 4326, always_xy=True)
    col, areas = file.width // 2, []
    for row in range(file.height):
        corners = [
            file.transform * corner for corner in ((col, row), (col + 1, row), (col + 1, row + 1), (col, row + 1))
        ]
        lon, lat = to_degrees.transform(*np.array(corners).T)
        areas.append(abs(GEOD.polygon_area_perimeter(lon, lat)[0]) / 1e4)
    return np.array(areas)


def judge(client: Client, scene: Scene, count: int, points: int) -> tuple[object, ...]:
    """Map a scene, draw `count` samples of it, answer and estimate them; a row of the table."""
    prediction = client.predict(scene.name, model=scene.model, config={"outputs": ["classes"]}).wait()
    found = [estimate(client, scene, prediction.id, {"n": points, "seed": seed}) for seed in range(count)]
    mapped = found[0]["mapped_ha"]
    inside = sum(low <= scene.true_ha <= high for low, high in (each["ci95_ha"] for each in found))
    widths = [(each["ci95_ha"][1] - each["ci95_ha"][0]) / 2 for each in found]
    mean = statistics.mean(each["estimated_ha"] for each in found)
    return scene.name, scene.true_ha, mapped, mean, statistics.median(widths), f"{inside} of {count}"


def estimate(client: Client, scene: Scene, prediction: str, design: Json) -> Json:
    """Draw a sample, answer it from the labels, and return the estimate of class 1."""
    sample = client.draw_sample(prediction, design=design).wait()
    with tempfile.TemporaryDirectory() as folder:
        path = sample.export(Path(folder, "points.csv"))
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            row["class"] = str(scene.truth[int(row["row"]), int(row["col"])])
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        sample.answer(path)
    _, one = sample.estimates()["items"]
    return dict(one)


JOBS: dict[str, Callable[[Client, Path, Path], Iterator[Scene]]] = {"amazon": amazon, "denmark": denmark}


def main() -> None:
    """Judge the scenes of the data sets that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--samples", type=int, default=20, help="samples of each scene")
    parser.add_argument("--points", type=int, default=200, help="points of each sample")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    with running("127.0.0.1", 0, asked.out / "data", asked.out / "service.log") as url, Client(url) as client:
        print("\n| scene | true ha | mapped ha | estimated ha, mean | half of the interval, median | true ha inside |")
        print("|---|---|---|---|---|---|")
        for name in asked.only:
            for scene in JOBS[name](client, asked.data, asked.out):
                first, *numbers, last = judge(client, scene, asked.samples, asked.points)
                print(f"| {first} | {' | '.join(f'{number:,.0f}' for number in numbers)} | {last} |", flush=True)


if __name__ == "__main__":
    main()
