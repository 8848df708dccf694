"""One split in detail: what each scene, each block and each look-alike crop has to do with the pooled figures."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ml.evaluation.metrics import BlockCounts, Confusion, Metrics, pooled
from ml.frozen import Frozen

AVERAGED = ("accuracy", "iou", "kappa")


class Assessment(Frozen):
    """The parts of one split's `Metrics`.

    scenes: each scene by itself. scene_mean: accuracy, iou and kappa as the means over the scenes where they are
    defined, to stand beside the pooled ones, which weigh a scene by its pixels. false_positives: pixels of class 0 that
    are mapped as class 1, by what the labels call them ("cassava"); empty for more than two classes.
    blocks: the counts of each scene's blocks, alike for all nets that are scored on one split, so that they can be
    paired by scene, row and col. boundary_m: the distance of the boundary IoU in metres; None: it was not counted.
    """

    scenes: dict[str, Metrics]
    scene_mean: dict[str, float | None]
    false_positives: dict[str, int]
    blocks: dict[str, tuple[BlockCounts, ...]]
    boundary_m: float | None = None

    @property
    def confusions(self) -> tuple[Confusion, ...]:
        """Those of all blocks, for `ml.evaluation.area.adjusted_area`."""
        return tuple(block.confusion for blocks in self.blocks.values() for block in blocks)


@dataclass(frozen=True)
class SceneCounts:
    """What was counted in one whole scene.

    blocks: of `ml.evaluation.metrics.block_confusions`. boundary: of `ml.evaluation.boundary.boundary_counts`, for
    class 1 alone where there are two classes, else for each class. false_positives: of `false_positives` below.
    """

    scene: str
    blocks: tuple[BlockCounts, ...]
    boundary: Sequence[tuple[int, int]] = ()
    false_positives: Mapping[str, int] = field(default_factory=dict)


def assessment(
    scenes: Sequence[SceneCounts], classes: int = 2, boundary_m: float | None = None
) -> tuple[Metrics, Assessment]:
    """The figures of all scenes pooled, and their parts. classes: how many. boundary_m: as in `Assessment`.

    Raises:
        ValueError: a scene was counted twice.
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
    """The boundary IoU over scenes: (intersection, union) pooled by class, then the mean over classes with a boundary.

    boundaries: by scene, then by class. None without any boundary.
    """
    totals = [[sum(counts) for counts in zip(*of_class, strict=True)] for of_class in zip(*boundaries, strict=True)]
    return _mean(intersection / union if union else None for intersection, union in totals)


def false_positives(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], reference: NDArray[np.uint8], names: Sequence[str]
) -> dict[str, int]:
    """Pixels of class 0 that are mapped as class 1, by what the labels call them.

    truth, predicted: one shape, 0, 1 or `UNLABELLED`. reference: of that shape, index into `names`, or `UNLABELLED`
    where the labels name nothing: such pixels are wrong too, but no name is theirs. Names with no such pixel are left
    out.
    """
    wrong = reference[(truth == 0) & (predicted == 1)]
    pixels = np.bincount(wrong, minlength=256)
    return {name: int(count) for name, count in zip(names, pixels, strict=False) if count}


def _mean(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None
