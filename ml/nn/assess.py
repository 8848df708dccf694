"""The assessment of a net on a split: everything that is said of it at the end."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from ml.contract import Contract
from ml.data import LabelledScene
from ml.evaluation.assessment import Assessment, SceneTally, false_positives
from ml.evaluation.boundary import boundary_counts
from ml.evaluation.metrics import Metrics, block_confusions
from ml.geo.raster import open_raster
from ml.geo.windows import blocks
from ml.nn.evaluate import see
from ml.nn.masks import read_references
from ml.nn.prediction.row_stream import StreamNet

Bytes = NDArray[np.uint8]


def assess(
    net: StreamNet,
    contract: Contract,
    references: Sequence[str],
    scenes: Iterable[LabelledScene],
    *,
    boundary_m: float,
    still_alive: Callable[[], None],
) -> tuple[Metrics, Assessment]:
    """The pooled metrics of `net` on `scenes`, and their parts.

    references: `TrainingData.references`. boundary_m: distance of the
    boundary IoU; pixels are taken for squares of the contract's gsd. `still_alive`: as of `see`.
    """
    tally = SceneTally(len(contract.classes), boundary_m)
    for scene in scenes:
        with _maps(net, contract, scene, still_alive) as (truth, predicted):
            counted = list(block_confusions(truth, predicted, len(contract.classes)))
            edges = _boundaries(truth, predicted, contract, boundary_m)
            confused = _false_positives(scene, truth, predicted, references) if len(contract.classes) == 2 else {}
        tally.add(scene.name, counted, edges, confused)
    return tally.result()


@contextmanager
def _maps(
    net: StreamNet, contract: Contract, scene: LabelledScene, still_alive: Callable[[], None]
) -> Iterator[tuple[Bytes, Bytes]]:
    """Truth and map of a whole scene as class indices, in files: memory stays flat."""
    with open_raster(scene.mask) as mask, TemporaryDirectory() as folder:
        names = ("truth", "predicted")
        truth, predicted = (np.memmap(Path(folder) / name, np.uint8, "w+", shape=mask.shape) for name in names)
        for seen in see(net, contract, scene, still_alive=still_alive):
            truth[seen.window.slices], predicted[seen.window.slices] = seen.truth, seen.predicted
        yield truth, predicted


def _boundaries(truth: Bytes, predicted: Bytes, contract: Contract, boundary_m: float) -> list[tuple[int, int]]:
    """Of class 1 alone where there are two, else of each class."""
    classes = [1] if len(contract.classes) == 2 else range(len(contract.classes))
    pixel_m = (contract.gsd, contract.gsd)
    return [boundary_counts(truth, predicted, pixel_m, boundary_m, index) for index in classes]


def _false_positives(scene: LabelledScene, truth: Bytes, predicted: Bytes, references: Sequence[str]) -> dict[str, int]:
    totals: dict[str, int] = {}
    with open_raster(scene.mask) as mask:
        for window in blocks(*truth.shape, block_px=1024):
            named = read_references(mask, window)
            for name, pixels in false_positives(
                truth[window.slices], predicted[window.slices], named, references
            ).items():
                totals[name] = totals.get(name, 0) + pixels
    return totals
