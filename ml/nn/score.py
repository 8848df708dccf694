"""A checkpoint scored on labelled scenes, which need not be those of its own dataset."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ml.data import LabelledScene
from ml.evaluation.assessment import Assessment
from ml.evaluation.metrics import Metrics
from ml.nn.assess import assess
from ml.nn.checkpoint import load_checkpoint
from ml.nn.normalise import choose_device
from ml.nn.prediction.row_stream import for_prediction
from ml.progress import Progress, Watch, silent


def score(
    model: Path, scenes: Sequence[LabelledScene], references: Sequence[str], watch: Watch = silent
) -> tuple[Metrics, Assessment]:
    """The metrics of the checkpoint `model` on `scenes` at threshold 0.5, pooled, and their parts.

    The masks must have the checkpoint's classes. references: `TrainingData.references`. Computes as a training does
    when it scores its own net at its end, so that the two can be compared. `watch` hears of each scene, and in between.

    Raises:
        InputRefused: `model` is no checkpoint.
    """
    net, header = load_checkpoint(model)
    done = 0

    def still_alive() -> None:
        watch(Progress("evaluate", done, len(scenes)))

    def counted() -> Iterator[LabelledScene]:
        nonlocal done
        for scene in scenes:
            still_alive()
            yield scene
            done += 1

    ready = for_prediction(net, choose_device("auto"))
    boundary_m = header.config.boundary_m or 2 * header.contract.gsd
    found = assess(ready, header.contract, references, counted(), boundary_m=boundary_m, still_alive=still_alive)
    watch(Progress("evaluate", len(scenes), len(scenes)))
    return found
