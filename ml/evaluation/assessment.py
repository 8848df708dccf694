"""The metrics of one split in detail: by scene, by block and by look-alike crop."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ml.evaluation.metrics import BlockCounts, Confusion, Metrics, pooled
from ml.frozen import Frozen

AVERAGED = ("accuracy", "iou", "kappa")


class Assessment(Frozen):
    """The parts of the `Metrics` of one split.

    scenes: Metrics of each scene. scene_mean: Means of accuracy, iou and kappa over the scenes where they are defined;
    the pooled metrics, in contrast, weight each scene by its pixels. false_positives: Pixels of class 0 that are mapped
    as class 1, by the name that the labels give them ("cassava"); empty for more than two classes. blocks: Counts of
    the blocks of each scene; all nets that are scored on one split have the same blocks, so that blocks can be paired
    by scene, row and col. boundary_m: Distance of the boundary IoU in metres, or None if it was not counted.
    """

    scenes: dict[str, Metrics]
    scene_mean: dict[str, float | None]
    false_positives: dict[str, int]
    blocks: dict[str, tuple[BlockCounts, ...]]
    boundary_m: float | None = None

    @property
    def confusions(self) -> tuple[Confusion, ...]:
        """The confusions of all blocks."""
        return tuple(confusion for scene in self.confusions_by_scene for confusion in scene)

    @property
    def confusions_by_scene(self) -> tuple[tuple[Confusion, ...], ...]:
        """The confusions of the blocks of each scene, for `ml.evaluation.area.adjusted_area`."""
        return tuple(tuple(block.confusion for block in blocks) for blocks in self.blocks.values())


@dataclass(frozen=True)
class SceneCounts:
    """The counts of one whole scene.

    scene: Name of the scene. blocks: Results of `ml.evaluation.metrics.block_confusions`. boundary: Results of
    `ml.evaluation.boundary.boundary_counts`, for class 1 alone if there are two classes, else for each class.
    false_positives: Result of the function `false_positives`.
    """

    scene: str
    blocks: tuple[BlockCounts, ...]
    boundary: Sequence[tuple[int, int]] = ()
    false_positives: Mapping[str, int] = field(default_factory=dict)


def assessment(
    scenes: Sequence[SceneCounts], classes: int = 2, boundary_m: float | None = None
) -> tuple[Metrics, Assessment]:
    """The metrics of all scenes pooled, and their parts.

    classes: Number of classes. boundary_m: Distance of the boundary IoU in metres, as in `Assessment`.

    Raises:
        ValueError: A scene was counted twice.
    """
    if twice := [name for name, times in Counter(counts.scene for counts in scenes).items() if times > 1]:
        raise ValueError(f"scene {twice[0]!r} was counted twice")
    by_scene = {counts.scene: _metrics([counts], classes) for counts in scenes}
    parts = Assessment(
        scenes=by_scene,
        scene_mean={name: _mean(getattr(scene, name) for scene in by_scene.values()) for name in AVERAGED},
        false_positives=sum((Counter(counts.false_positives) for counts in scenes), Counter()),
        blocks={counts.scene: counts.blocks for counts in scenes},
        boundary_m=boundary_m,
    )
    return _metrics(scenes, classes), parts


def _metrics(scenes: Sequence[SceneCounts], classes: int) -> Metrics:
    blocks = (block for counts in scenes for block in counts.blocks)
    boundaries = [counts.boundary for counts in scenes]
    return Metrics.from_confusion(pooled(blocks, classes), boundary_iou=boundary_iou(boundaries))


def boundary_iou(boundaries: Sequence[Sequence[tuple[int, int]]]) -> float | None:
    """The boundary IoU over scenes: pooled by class, then the mean over the classes with a boundary; None without one.

    boundaries: Pixels (intersection, union) by scene, then by class.
    """
    totals = [[sum(counts) for counts in zip(*of_class, strict=True)] for of_class in zip(*boundaries, strict=True)]
    return _mean(intersection / union if union else None for intersection, union in totals)


def false_positives(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], reference: NDArray[np.uint8], names: Sequence[str]
) -> dict[str, int]:
    """Pixels of class 0 that are mapped as class 1, by the name that the labels give them.

    truth, predicted: Class values 0, 1 or `UNLABELLED`, arrays of one shape. reference: Index into `names`, of the same
    shape, or `UNLABELLED` where the labels give no name; such pixels are not counted. Names without a pixel are left
    out.
    """
    wrong = reference[(truth == 0) & (predicted == 1)]
    pixels = np.bincount(wrong, minlength=256)
    return {name: int(count) for name, count in zip(names, pixels, strict=False) if count}


def _mean(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None
