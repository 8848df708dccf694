"""Checks the metrics of a model that a stranger sent: gates and adjusted areas rely on them."""

from collections.abc import Iterator, Mapping

import numpy as np

from ml.evaluation.assessment import Assessment
from ml.evaluation.metrics import Confusion, Metrics, as_confusion, metrics_of, pooled

_ROUNDING = 1e-6  # by which a metric may differ from the one that its counts give


def metric_contradictions(
    splits: Mapping[str, Metrics | None], details: Mapping[str, Assessment], classes: int
) -> Iterator[str]:
    """Yield what no training would have written, each as a clause that ends a sentence.

    splits: Metrics by the name of the split. details: Their parts, by the same names. classes: Number of classes.
    """
    for split, metrics in splits.items():
        if metrics is not None:
            yield from _wrong(f"the split {split}", metrics, classes)
    for split, parts in details.items():
        for scene, of_scene in parts.scenes.items():
            yield from _wrong(f"the scene {scene[:80]!r}", of_scene, classes)
        yield from _wrong_blocks(split, splits.get(split), parts, classes)


def _wrong(what: str, metrics: Metrics, classes: int) -> Iterator[str]:
    """Yield metrics that are not those of their confusion. what: What was scored."""
    if len(metrics.confusion) != classes or len(metrics.by_class) not in (0, classes):
        yield f"it has {classes} classes, but the metrics of {what} count others"
        return
    for name, value in metrics_of(np.array(metrics.confusion)).items():
        stored = getattr(metrics, name)
        if stored is not None and abs(stored - value) > _ROUNDING:
            yield f"the {name} of {what} is {stored:g}, but its confusion gives {value:g}"


def _wrong_blocks(split: str, metrics: Metrics | None, parts: Assessment, classes: int) -> Iterator[str]:
    """Yield blocks with other classes than the model, or with other counts in all than the confusion of the split."""
    if any(len(confusion) != classes for confusion in parts.confusions):
        yield f"it has {classes} classes, but the blocks of the split {split[:80]} count others"
    elif split == "test" and (metrics is None or _total(parts, classes) != metrics.confusion):
        yield "the blocks of the split test have other counts than its confusion"


def _total(parts: Assessment, classes: int) -> Confusion:
    blocks = (block for of_scene in parts.blocks.values() for block in of_scene)
    return as_confusion(pooled(blocks, classes))
