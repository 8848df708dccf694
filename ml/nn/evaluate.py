"""How well a net maps labelled scenes: whole scenes, by the same windows as prediction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ml.assess.metrics import BlockCounts, Confusion, Metrics, block_confusions, pooled
from ml.contract import Contract
from ml.data import LabelledScene
from ml.geo.raster import open_raster
from ml.geo.source import RasterSource
from ml.nn.masks import UNLABELLED, read_mask
from ml.nn.tiling import predict_logits
from ml.nn.unet import UNet, for_prediction

WINDOW_PX = 1024  # a multiple of a block of `block_confusions` and of any 2^depth: blocks are never cut by a window


@dataclass(frozen=True)
class Scores:
    """metrics: of all labelled valid pixels, pooled. blocks: their confusion by blocks of 256 x 256 px."""

    metrics: Metrics
    blocks: tuple[Confusion, ...]


def evaluate(
    net: UNet, contract: Contract, scenes: Sequence[LabelledScene], *, still_alive: Callable[[], None]
) -> Scores:
    """Score `net` on `scenes` at threshold 0.5; `still_alive` is called after each window and may raise `Stopped`."""
    fast = for_prediction(net)
    blocks: list[BlockCounts] = []
    for scene in scenes:
        with RasterSource(scene.path, scene.nodata) as source, open_raster(scene.mask) as mask:
            for window, logits, valid in predict_logits(fast, contract, source, window_px=WINDOW_PX):
                truth = np.where(valid, read_mask(mask, window), UNLABELLED)
                predicted = (logits >= 0).astype(np.uint8)
                blocks += block_confusions(truth, predicted, origin=(window.row, window.col))
                still_alive()
    return Scores(Metrics.from_confusion(pooled(blocks)), tuple(block.confusion for block in blocks))
