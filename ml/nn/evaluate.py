"""Evaluation of a net on whole labelled scenes, which it maps in the same windows as a prediction does."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ml.contract import UNLABELLED, Contract
from ml.data import LabelledScene
from ml.evaluation.assessment import Assessment, SceneCounts, assessment, false_positives
from ml.evaluation.boundary import boundary_counts
from ml.evaluation.metrics import Metrics, block_confusions, confusion
from ml.geo.areas import PLANE_ERROR, pixel_sides_m
from ml.geo.grid import Grid, grid_of
from ml.geo.raster import open_raster
from ml.geo.windows import Window
from ml.nn.checkpoint import load_checkpoint
from ml.nn.masks import class_indices, read_mask, read_references
from ml.nn.normalise import choose_device
from ml.nn.precision import device_name
from ml.nn.prediction.row_stream import StreamNet, for_scoring
from ml.nn.prediction.stripes import predict_logits
from ml.nn.unet import UNet, class_index
from ml.progress import Progress, Watch, silent
from ml.provenance import SCORE_DEVICE, SCORE_PRECISION, software
from ml.radiometry.homogenise import open_homogenised


@dataclass(frozen=True)
class EvaluatedWindow:
    """A window of a labelled scene with its labels and the net's output.

    window: Position of the window in the scene, in pixels.
    logits: Output of the net, float32 (outputs, rows, cols), on the net's device.
    truth: Class indices of the labels, uint8 (rows, cols); 255 where a pixel is unlabelled or not valid.
    predicted: Class indices that the net maps, uint8 (rows, cols).
    """

    window: Window
    logits: Tensor
    truth: NDArray[np.uint8]
    predicted: NDArray[np.uint8]


def _unseen(piece: EvaluatedWindow) -> None:
    """Do nothing with a window."""


def score(
    model: Path, scenes: Sequence[LabelledScene], references: Sequence[str], watch: Watch = silent
) -> tuple[Metrics, Assessment, dict[str, str]]:
    """Evaluate the checkpoint `model` on `scenes` at threshold 0.5, with the views that its config names.

    The scenes may belong to another dataset than the one the checkpoint was trained on; their masks must have the
    checkpoint's classes. The computation is the same as at the end of a training, and in the same
    precision on every device, so the metrics can be compared.

    references: See `TrainingData.references`.
    watch: Called before each scene, after each of its windows, and at the end.

    Returns:
        The metrics pooled over all scenes, the details by scene, and the versions of the software that computed them.

    Raises:
        InputRefused: code `bad_checkpoint`: `model` is not a valid checkpoint.
    """
    net, header = load_checkpoint(model)

    def report_done(done: int) -> None:
        watch(Progress("evaluate", done, len(scenes)))

    ready = for_scoring(net, choose_device("auto"), views=header.config.views)
    metrics, details = assess(
        ready, header.contract, references, scenes, boundary_m=header.config.boundary_m, report_done=report_done
    )
    report_done(len(scenes))
    return metrics, details, software() | ready.made_by() | scored_by(ready)


def scored_by(net: StreamNet) -> dict[str, str]:
    """Return by name on what device, and in what precision, the scores of `net` are computed."""
    return {SCORE_DEVICE: device_name(net.device), SCORE_PRECISION: net.precision.name}


def assess(
    net: StreamNet,
    contract: Contract,
    references: Sequence[str],
    scenes: Sequence[LabelledScene],
    *,
    boundary_m: float | None,
    report_done: Callable[[int], None],
    seen: Callable[[EvaluatedWindow], None] = _unseen,
) -> tuple[Metrics, Assessment]:
    """Compute the metrics of `net` pooled over `scenes`, and the details by scene.

    references: See `TrainingData.references`.
    boundary_m: Distance of the boundary IoU, in metres on the ground; None means two pixels of any size, which the
        result gives as twice the contract's ground sampling distance.
    report_done: Called with the number of finished scenes before each scene and after each window; may raise
        `Stopped`.
    seen: Called with each window.
    """
    counted = []
    for done, scene in enumerate(scenes):
        report_done(done)
        counted.append(_scene_counts(net, contract, references, scene, boundary_m, partial(report_done, done), seen))
    return assessment(counted, len(contract.classes), boundary_m or 2 * contract.gsd)


def _scene_counts(
    net: StreamNet,
    contract: Contract,
    references: Sequence[str],
    scene: LabelledScene,
    boundary_m: float | None,
    check_stop: Callable[[], None],
    seen: Callable[[EvaluatedWindow], None],
) -> SceneCounts:
    """Compute all counts of one scene.

    The labels and the map of the scene are kept in temporary files, so memory does not grow with the scene.
    """
    classes = len(contract.classes)
    named = Counter[str]()
    with open_raster(scene.mask) as mask, TemporaryDirectory() as folder:
        names = ("truth", "predicted")
        truth, predicted = (np.memmap(Path(folder) / name, np.uint8, "w+", shape=mask.shape) for name in names)
        for piece in evaluated_windows(net, contract, scene, check_stop=check_stop):
            seen(piece)
            truth[piece.window.slices], predicted[piece.window.slices] = piece.truth, piece.predicted
            if classes == 2:
                known = read_references(mask, piece.window)
                named.update(false_positives(piece.truth, piece.predicted, known, references))
        bounded = [1] if classes == 2 else range(classes)
        pixel_m, reach_m = _reach(grid_of(mask), boundary_m)
        edges = [boundary_counts(truth, predicted, pixel_m, reach_m, index) for index in bounded]
        return SceneCounts(scene.name, tuple(block_confusions(truth, predicted, classes)), edges, named)


def _reach(grid: Grid, boundary_m: float | None) -> tuple[tuple[float, float], float]:
    """Return height and width of a pixel, and the distance of the boundary IoU in the same unit.

    Twenty metres reach two pixels of 10 m in UTM, although those measure up to 10.02 m on the ground.
    """
    return ((1, 1), 2) if boundary_m is None else (pixel_sides_m(grid), boundary_m * (1 + PLANE_ERROR))


def count(
    net: UNet, contract: Contract, scenes: Sequence[LabelledScene], *, check_stop: Callable[[], None]
) -> NDArray[np.int64]:
    """Compute the confusion matrix of `net` pooled over `scenes`, from which the metrics of an epoch follow.

    Returns:
        Numbers of pixels, int64 (classes, classes); rows are the labelled classes, columns the predicted ones.
    """
    fast, classes = for_scoring(net), len(contract.classes)
    pooled = np.zeros((classes, classes), dtype=np.int64)
    for scene in scenes:
        for piece in evaluated_windows(fast, contract, scene, check_stop=check_stop):
            pooled += confusion(piece.truth, piece.predicted, classes)
    return pooled


def evaluated_windows(
    net: StreamNet, contract: Contract, scene: LabelledScene, *, check_stop: Callable[[], None]
) -> Iterator[EvaluatedWindow]:
    """Evaluate a scene window by window, from the top down.

    The windows are as wide as the scene and have a multiple of 64 rows; the last one may have fewer.

    check_stop: Called after each window; may raise `Stopped`.
    """
    indices = class_indices(contract.classes)
    with (
        open_homogenised(scene, contract.homogenise) as source,
        open_raster(scene.mask) as mask,
        closing(predict_logits(net, contract, source)) as pieces,  # its thread ends before the files are closed
    ):
        for piece in pieces:
            truth = np.where(piece.valid, indices[read_mask(mask, piece.window)], UNLABELLED)
            yield EvaluatedWindow(piece.window, piece.logits, truth, class_index(piece.logits).cpu().numpy())
            check_stop()
