"""Cut-outs of scenes with their masks, stored beside a result so that its figures can be drawn at any time."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml.contract import UNLABELLED, Contract, Homogenise
from ml.data import LabelledScene, TrainingData
from ml.geo.raster import open_raster
from ml.geo.windows import Window, blocks
from ml.products.palette import UNOBSERVED
from ml.radiometry.homogenise import open_homogenised

SAMPLES, SAMPLE_PX = 6, 256
COMPARED, COMPARED_PX = 3, 512
MAPPED = "mapped"  # name of the mask that a net predicted
_META = "pictures.json"


@dataclass(frozen=True)
class Picture:
    """A cut-out of a scene.

    name: Name of the scene. image: Pixels in true colour, as far as the bands allow, uint8 (rows, cols, 3). masks:
    Class values by name of the mask, uint8 (rows, cols), 255 where unlabelled. pixel_m: Side of a pixel in metres, if
    known.
    """

    name: str
    image: NDArray[np.uint8]
    masks: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    pixel_m: float | None = None


def dataset_pictures(data: TrainingData, out: Path) -> None:
    """Write the pictures of a dataset to the file `out`.

    "sample N" is a window with many classes from a training scene, with its mask "truth". "before N" and "after N" are
    one scene without and with homogenisation, if the dataset is homogenised.
    """
    pictures: dict[str, Picture] = {}
    for number, scene in enumerate(_evenly_spaced(data.train, SAMPLES), 1):
        pictures[f"sample {number}"] = _cut(scene, data.contract, SAMPLE_PX, data.contract.homogenise)
    if data.contract.homogenise:
        for number, scene in enumerate(_evenly_spaced(data.train + data.val + data.test, COMPARED), 1):
            pictures[f"before {number}"] = _cut(scene, data.contract, COMPARED_PX, None)
            pictures[f"after {number}"] = _cut(scene, data.contract, COMPARED_PX, data.contract.homogenise)
    save_pictures(out, pictures)


def _cut(scene: LabelledScene, contract: Contract, size_px: int, homogenise: Homogenise | None) -> Picture:
    """The window of a scene with the greatest variety of labels.

    All scenes have the same stretch of values, so that they can be compared.
    """
    window = telling_window(scene, size_px)
    with open_homogenised(scene, homogenise) as source:
        image, valid = source.read(window)
    low, high = np.array([(band.mean - 2 * band.std, band.mean + 2 * band.std) for band in contract.statistics]).T
    return picture_of(scene, contract, window, true_colour(image, valid, contract.bands, (low, high)))


def _evenly_spaced(scenes: Sequence[LabelledScene], most: int) -> list[LabelledScene]:
    """At most `most` scenes, evenly spaced from the first to the last."""
    return [scenes[i] for i in np.unique(np.linspace(0, len(scenes) - 1, min(most, len(scenes))).round().astype(int))]


def save_pictures(path: Path, pictures: Mapping[str, Picture]) -> None:
    """Write all pictures into one compressed file, by key."""
    arrays: dict[str, np.ndarray] = {}
    meta = {}
    for key, picture in pictures.items():
        arrays[f"{key}|image"] = picture.image
        arrays |= {f"{key}|mask|{name}": mask for name, mask in picture.masks.items()}
        meta[key] = {"name": picture.name, "pixel_m": picture.pixel_m, "masks": list(picture.masks)}
    arrays[_META] = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def load_pictures(path: Path) -> dict[str, Picture]:
    """The pictures that `save_pictures` wrote, in the same order."""
    with np.load(path, allow_pickle=False) as file:
        meta = json.loads(file[_META].tobytes())
        return {
            key: Picture(
                name=about["name"],
                image=file[f"{key}|image"],
                masks={name: file[f"{key}|mask|{name}"] for name in about["masks"]},
                pixel_m=about["pixel_m"],
            )
            for key, about in meta.items()
        }


def telling_scene(scenes: Sequence[LabelledScene]) -> LabelledScene:
    """The scene with the greatest variety of labels, among at most 20 evenly spaced scenes.

    The variety is the number of labelled pixels that are not of the most frequent class of their block of 1024 px.
    """

    def variety(scene: LabelledScene) -> int:
        with open_raster(scene.mask) as mask:
            return sum(_variety(mask.read(1, window=w.rasterio))[0] for w in blocks(*mask.shape, block_px=1024))

    return max(_evenly_spaced(scenes, 20), key=variety)


def telling_window(scene: LabelledScene, size_px: int) -> Window:
    """The window of at most `size_px` x `size_px` px with the greatest variety of labels.

    The variety is the number of labelled pixels that are not of the most frequent class of the window; the number of
    all labelled pixels counts as well, with a quarter of the weight.
    """
    with open_raster(scene.mask) as mask:
        windows = list(blocks(*mask.shape, block_px=size_px))
        scores = [_variety(mask.read(1, window=window.rasterio)) for window in windows]
    return windows[int(np.argmax([variety * 4 + labelled for variety, labelled in scores]))]


def true_colour(
    image: NDArray[np.float32],
    valid: NDArray[np.bool_],
    bands: Sequence[str],
    limits: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
) -> NDArray[np.uint8]:
    """An image in true colour, uint8 (rows, cols, 3); pixels that are not valid are grey.

    image: Pixels, shape (bands, rows, cols). valid: Whether a pixel has data, bool (rows, cols). bands: Names of the
    bands; see `colour_bands`. limits: Values of each band that become black and full colour; by default the 2nd and
    98th percentile.
    """
    percentiles = np.percentile(image[:, valid], (2, 98), axis=1) if valid.any() else (np.zeros(1), np.ones(1))
    low, high = percentiles if limits is None else limits
    spread = np.maximum(np.reshape(high - low, (-1, 1, 1)), 1e-9)
    stretched = ((image - np.reshape(low, (-1, 1, 1))) / spread).clip(0, 1)
    shown = np.moveaxis(stretched[colour_bands(bands)], 0, -1)
    return np.where(valid[..., None], 255 * shown, UNOBSERVED).round().astype(np.uint8)


def colour_bands(bands: Sequence[str]) -> list[int]:
    """The indices of the bands that are shown as red, green and blue.

    They are the bands with these names, if all three exist; else the bands 3, 2, 1 of four or more, the first three of
    three, or the first band alone.
    """
    names = [band.lower() for band in bands]
    if {"red", "green", "blue"} <= set(names):
        return [names.index(colour) for colour in ("red", "green", "blue")]
    return [2, 1, 0] if len(bands) >= 4 else [0, 1, 2] if len(bands) == 3 else [0, 0, 0]


def picture_of(scene: LabelledScene, contract: Contract, window: Window, image: NDArray[np.uint8]) -> Picture:
    """A cut-out of a scene with its mask under the name "truth"."""
    with open_raster(scene.mask) as mask:
        truth = mask.read(1, window=window.rasterio)
    return Picture(scene.name, image, {"truth": truth}, contract.gsd)


def _variety(mask: NDArray[np.uint8]) -> tuple[int, int]:
    """Number of labelled pixels that are not of the most frequent class, and number of all labelled pixels."""
    counts = np.bincount(mask.ravel(), minlength=256)[:UNLABELLED]
    return int(counts.sum() - counts.max()), int(counts.sum())
