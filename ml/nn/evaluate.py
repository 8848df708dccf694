"""How well a net maps labelled scenes: whole scenes, by the same windows as prediction."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ml.contract import Contract
from ml.data import LabelledScene
from ml.evaluation.metrics import Metrics, confusion
from ml.geo.raster import open_raster
from ml.geo.windows import Window
from ml.nn.logits import class_index
from ml.nn.masks import UNLABELLED, class_indices, read_mask
from ml.nn.prediction.row_stream import StreamNet, for_prediction
from ml.nn.prediction.stripes import predict_logits
from ml.nn.unet import UNet
from ml.radiometry.homogenise import open_homogenised


@dataclass(frozen=True)
class Seen:
    """A window of a labelled scene. logits: (outputs, rows, cols), on the net's device.

    truth, predicted: class indices, uint8 (rows, cols); truth is 255 where unlabelled or not valid.
    """

    window: Window
    logits: Tensor
    truth: NDArray[np.uint8]
    predicted: NDArray[np.uint8]


def see(net: StreamNet, contract: Contract, scene: LabelledScene, *, still_alive: Callable[[], None]) -> Iterator[Seen]:
    """A scene by windows of 64 rows or a multiple, from the top down; `still_alive` is called after each."""
    indices = class_indices(contract.classes)
    with (
        open_homogenised(scene, contract.homogenise) as source,
        open_raster(scene.mask) as mask,
        closing(predict_logits(net, contract, source)) as pieces,  # its thread reads no file that is closed
    ):
        for piece in pieces:
            truth = np.where(piece.valid, indices[read_mask(mask, piece.window)], UNLABELLED)
            yield Seen(piece.window, piece.logits, truth, class_index(piece.logits).cpu().numpy())
            still_alive()


def evaluate(
    net: UNet, contract: Contract, scenes: Sequence[LabelledScene], *, still_alive: Callable[[], None]
) -> Metrics:
    """The metrics of `net` on `scenes` at threshold 0.5, all their labelled valid pixels pooled."""
    return Metrics.from_confusion(count(net, contract, scenes, still_alive=still_alive))


def count(
    net: UNet, contract: Contract, scenes: Sequence[LabelledScene], *, still_alive: Callable[[], None]
) -> NDArray[np.int64]:
    """The confusion (classes, classes) of `net` on `scenes`, in pixels, truth by prediction; as `evaluate`."""
    fast, classes = for_prediction(net), len(contract.classes)
    pooled = np.zeros((classes, classes), dtype=np.int64)
    for scene in scenes:
        for seen in see(fast, contract, scene, still_alive=still_alive):
            pooled += confusion(seen.truth, seen.predicted, classes)
    return pooled
