"""Labels to look at again: places where the trained net strongly contradicts what it was told."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ml.contract import UNLABELLED, Contract
from ml.data import LabelledScene
from ml.evaluation.report import SuspectLabels
from ml.geo.windows import blocks
from ml.nn.evaluate import EvaluatedWindow, evaluated_windows
from ml.nn.prediction.row_stream import StreamNet
from ml.nn.unet import PROBABILITY_STEPS, probability_byte

BLOCK_PX = 64  # divides the height of what `evaluated_windows` gives: no block is cut
SURE = 0.8  # probability of another class than the label
SHARE = 0.5  # of a block's labelled pixels
LEAST_PX = 16


def suspect_labels(
    net: StreamNet, contract: Contract, scenes: Sequence[LabelledScene], *, check_stop: Callable[[], None]
) -> tuple[SuspectLabels, ...]:
    """Blocks of 64 x 64 px with over half of the labels contradicted at a probability of 0.8 or more, worst first.

    Meant for the training split: what a net contradicts although it was trained on it, is more often a wrong label than
    a wrong net.
    """
    found = [
        suspect
        for scene in scenes
        for seen in evaluated_windows(net, contract, scene, check_stop=check_stop)
        for suspect in _in_window(scene.name, seen, BLOCK_PX)
    ]
    return tuple(sorted(found, key=lambda suspect: -suspect.contradicted))


def _in_window(scene: str, seen: EvaluatedWindow, block_px: int) -> Iterator[SuspectLabels]:
    byte = probability_byte(seen.logits).cpu().numpy()
    sure = np.maximum(byte, PROBABILITY_STEPS - 1 - byte) >= SURE * PROBABILITY_STEPS
    labelled = seen.truth != UNLABELLED
    wrong = labelled & sure & (seen.truth != seen.predicted)
    for block in blocks(*labelled.shape, block_px=block_px):
        pixels = int(np.count_nonzero(labelled[block.slices]))
        share = np.count_nonzero(wrong[block.slices]) / max(pixels, 1)
        if pixels >= LEAST_PX and share > SHARE:
            yield SuspectLabels(
                scene=scene,
                row=seen.window.row + block.row,
                col=seen.window.col + block.col,
                rows=block.rows,
                cols=block.cols,
                pixels=pixels,
                contradicted=share,
            )
