"""How well a net maps labelled scenes: whole scenes, by the same windows as prediction."""

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
from ml.geo.raster import open_raster
from ml.geo.windows import Window
from ml.nn.checkpoint import load_checkpoint
from ml.nn.masks import class_indices, read_mask, read_references
from ml.nn.normalise import choose_device
from ml.nn.prediction.row_stream import StreamNet, for_prediction
from ml.nn.prediction.stripes import predict_logits
from ml.nn.unet import UNet, class_index
from ml.progress import Progress, Watch, silent
from ml.provenance import software
from ml.radiometry.homogenise import open_homogenised


@dataclass(frozen=True)
class EvaluatedWindow:
    """A window of a labelled scene. logits: (outputs, rows, cols), on the net's device.

    truth, predicted: class indices, uint8 (rows, cols); truth is 255 where unlabelled or not valid.
    """

    window: Window
    logits: Tensor
    truth: NDArray[np.uint8]
    predicted: NDArray[np.uint8]


def score(
    model: Path, scenes: Sequence[LabelledScene], references: Sequence[str], watch: Watch = silent
) -> tuple[Metrics, Assessment, dict[str, str]]:
    """The metrics of the checkpoint `model` on `scenes` at threshold 0.5, pooled; their parts; and what made them.

    The scenes may be of another dataset than the checkpoint's own; their masks must have its classes. references:
    `TrainingData.references`. Computes as a training does when it scores its own net at its end, so that the two can be
    compared. `watch` hears of each scene, and in between.

    Raises:
        InputRefused: `model` is no checkpoint.
    """
    net, header = load_checkpoint(model)

    def tell(done: int) -> None:
        watch(Progress("evaluate", done, len(scenes)))

    ready = for_prediction(net, choose_device("auto"))
    metrics, details = assess(
        ready, header.contract, references, scenes, boundary_m=header.config.boundary_m, tell=tell
    )
    tell(len(scenes))
    return metrics, details, software() | ready.made_by()


def assess(
    net: StreamNet,
    contract: Contract,
    references: Sequence[str],
    scenes: Sequence[LabelledScene],
    *,
    boundary_m: float | None,
    tell: Callable[[int], None],
) -> tuple[Metrics, Assessment]:
    """The pooled metrics of `net` on `scenes`, and their parts.

    references: `TrainingData.references`. boundary_m: distance of the boundary IoU; None: two pixels, which are taken
    for squares of the contract's gsd. tell: called with the number of finished scenes, often; may raise `Stopped`.
    """
    reach_m = boundary_m or 2 * contract.gsd
    counted = []
    for done, scene in enumerate(scenes):
        tell(done)
        counted.append(_scene_counts(net, contract, references, scene, reach_m, partial(tell, done)))
    return assessment(counted, len(contract.classes), reach_m)


def _scene_counts(
    net: StreamNet,
    contract: Contract,
    references: Sequence[str],
    scene: LabelledScene,
    boundary_m: float,
    check_stop: Callable[[], None],
) -> SceneCounts:
    """All counts of one scene. Its truth and its map lie in files meanwhile, so that memory stays flat."""
    classes, pixel_m = len(contract.classes), (contract.gsd, contract.gsd)
    named = Counter[str]()
    with open_raster(scene.mask) as mask, TemporaryDirectory() as folder:
        names = ("truth", "predicted")
        truth, predicted = (np.memmap(Path(folder) / name, np.uint8, "w+", shape=mask.shape) for name in names)
        for seen in evaluated_windows(net, contract, scene, check_stop=check_stop):
            truth[seen.window.slices], predicted[seen.window.slices] = seen.truth, seen.predicted
            if classes == 2:
                known = read_references(mask, seen.window)
                named.update(false_positives(seen.truth, seen.predicted, known, references))
        bounded = [1] if classes == 2 else range(classes)
        edges = [boundary_counts(truth, predicted, pixel_m, boundary_m, index) for index in bounded]
        return SceneCounts(scene.name, tuple(block_confusions(truth, predicted, classes)), edges, named)


def count(
    net: UNet, contract: Contract, scenes: Sequence[LabelledScene], *, check_stop: Callable[[], None]
) -> NDArray[np.int64]:
    """The confusion (classes, classes) of `net` on `scenes`, in pixels, truth by prediction: what an epoch needs."""
    fast, classes = for_prediction(net), len(contract.classes)
    pooled = np.zeros((classes, classes), dtype=np.int64)
    for scene in scenes:
        for seen in evaluated_windows(fast, contract, scene, check_stop=check_stop):
            pooled += confusion(seen.truth, seen.predicted, classes)
    return pooled


def evaluated_windows(
    net: StreamNet, contract: Contract, scene: LabelledScene, *, check_stop: Callable[[], None]
) -> Iterator[EvaluatedWindow]:
    """A scene by windows of 64 rows or a multiple, from the top down; `check_stop` is called after each."""
    indices = class_indices(contract.classes)
    with (
        open_homogenised(scene, contract.homogenise) as source,
        open_raster(scene.mask) as mask,
        closing(predict_logits(net, contract, source)) as pieces,  # its thread reads no file that is closed
    ):
        for piece in pieces:
            truth = np.where(piece.valid, indices[read_mask(mask, piece.window)], UNLABELLED)
            yield EvaluatedWindow(piece.window, piece.logits, truth, class_index(piece.logits).cpu().numpy())
            check_stop()
