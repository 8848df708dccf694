"""Class maps with a known truth, for tests of samples."""

from pathlib import Path

import numpy as np

from ml.contract import MAP_NODATA, ClassDef
from tests.ml.conftest import write_scene

CLASSES = (ClassDef(value=0, name="other"), ClassDef(value=1, name="甘蔗"))
ROWS, COLS = 150, 1100  # more than one window across


def make_truth(seed: int = 0) -> np.ndarray:
    """True classes, uint8 (rows, cols): stripes of cane on an eighth of the ground."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((ROWS, COLS), np.uint8)
    truth[:, rng.integers(COLS, size=COLS // 8)] = 1
    return truth


def with_errors(truth: np.ndarray, seed: int = 1) -> np.ndarray:
    """A map of `truth` that omits 10 % of the cane, adds 3 % of the rest, and has no data in its last rows."""
    image = truth.copy()
    draw = np.random.default_rng(seed).random(truth.shape)
    image[(truth == 1) & (draw < 0.10)] = 0
    image[(truth == 0) & (draw < 0.03)] = 1
    image[-5:] = MAP_NODATA
    return image


def write_map(path: Path, image: np.ndarray, **more: object) -> Path:
    """Write a class map as predictions are written."""
    return write_scene(path, image[None], nodata=MAP_NODATA, **more)  # type: ignore[arg-type]


def confusion(truth: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Pixels by true and mapped class, int64 (classes, classes)."""
    seen = image != MAP_NODATA
    return np.bincount(truth[seen] * 2 + image[seen], minlength=4).reshape(2, 2).astype(np.int64)
