"""Suspect labels: blocks of scenes in which the trained net strongly contradicts the labels."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ml.contract import UNLABELLED, Contract
from ml.data import LabelledScene
from ml.evaluation.report import SuspectLabels
from ml.geo.windows import blocks
from ml.nn.evaluate import EvaluatedWindow, evaluated_windows
from ml.nn.prediction.row_stream import StreamNet
from ml.nn.unet import PROBABILITY_STEPS, probability_byte

BLOCK_PX = 64  # divides the height of the windows of `evaluated_windows`, so no block is divided between two
MIN_PROBABILITY = 0.8  # least probability of the mapped class at which a prediction contradicts the label of a pixel
MIN_SHARE = 0.5  # a block is suspect if more than this share of its labelled pixels is contradicted
MIN_PIXELS = 16  # least number of labelled pixels in a suspect block


def suspect_labels(
    net: StreamNet, contract: Contract, scenes: Sequence[LabelledScene], *, check_stop: Callable[[], None]
) -> tuple[SuspectLabels, ...]:
    """Find blocks of 64 x 64 px in which the net contradicts over half of the labels at a probability of at least 0.8.

    It is the probability of the class that the net maps there, for any number of classes. The blocks with the largest
    share of contradicted labels come first. Use it on the training split: where a net contradicts a label that it was
    trained on, the label is wrong more often than the net.

    check_stop: Called after each window; may raise `Stopped`.
    """
    found = [
        suspect
        for scene in scenes
        for piece in evaluated_windows(net, contract, scene, check_stop=check_stop)
        for suspect in _in_window(scene.name, piece, BLOCK_PX)
    ]
    return tuple(sorted(found, key=lambda suspect: -suspect.contradicted))


def _in_window(scene: str, piece: EvaluatedWindow, block_px: int) -> Iterator[SuspectLabels]:
    byte = probability_byte(piece.logits).cpu().numpy()
    if len(piece.logits) == 1:  # the byte is of class 1, also where class 0 is mapped
        byte = np.maximum(byte, PROBABILITY_STEPS - 1 - byte)
    sure = byte >= MIN_PROBABILITY * PROBABILITY_STEPS
    labelled = piece.truth != UNLABELLED
    wrong = labelled & sure & (piece.truth != piece.predicted)
    for block in blocks(*labelled.shape, block_px=block_px):
        pixels = int(np.count_nonzero(labelled[block.slices]))
        share = np.count_nonzero(wrong[block.slices]) / max(pixels, 1)
        if pixels >= MIN_PIXELS and share > MIN_SHARE:
            yield SuspectLabels(
                scene=scene,
                row=piece.window.row + block.row,
                col=piece.window.col + block.col,
                rows=block.rows,
                cols=block.cols,
                pixels=pixels,
                contradicted=share,
            )
