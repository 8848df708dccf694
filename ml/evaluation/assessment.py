"""One split in detail: what each scene, each block and each look-alike crop has to do with the pooled figures."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ml.evaluation.metrics import BlockCounts, Metrics, pooled
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


class SceneTally:
    """Gathers the counts of a split scene by scene. classes: how many. boundary_m: as in `Assessment`."""

    def __init__(self, classes: int = 2, boundary_m: float | None = None) -> None:
        self._classes = classes
        self._boundary_m = boundary_m
        self._scenes: dict[str, Metrics] = {}
        self._blocks: dict[str, tuple[BlockCounts, ...]] = {}
        self._boundaries: list[Sequence[tuple[int, int]]] = []
        self._false_positives: dict[str, int] = {}

    def add(
        self,
        scene: str,
        blocks: Iterable[BlockCounts],
        boundary: Sequence[tuple[int, int]] = (),
        false_positives: Mapping[str, int] | None = None,
    ) -> None:
        """Take in a scene, whole and once; ValueError the second time.

        blocks: `ml.evaluation.metrics.block_confusions`. boundary: `ml.evaluation.boundary.boundary_counts` of class 1
        alone where there are two classes, else of each class. false_positives: `false_positives` below.
        """
        if scene in self._scenes:
            raise ValueError(f"scene {scene!r} was counted before")
        self._blocks[scene] = tuple(blocks)
        self._boundaries.append(boundary)
        self._scenes[scene] = self._metrics(self._blocks[scene], [boundary])
        for name, pixels in (false_positives or {}).items():
            self._false_positives[name] = self._false_positives.get(name, 0) + pixels

    def result(self) -> tuple[Metrics, Assessment]:
        """The figures of all scenes pooled, and their parts."""
        every_block = [block for blocks in self._blocks.values() for block in blocks]
        parts = Assessment(
            scenes=self._scenes,
            scene_mean={name: _mean(getattr(scene, name) for scene in self._scenes.values()) for name in AVERAGED},
            false_positives=self._false_positives,
            blocks=self._blocks,
            boundary_m=self._boundary_m,
        )
        return self._metrics(every_block, self._boundaries), parts

    def _metrics(self, blocks: Iterable[BlockCounts], boundaries: Sequence[Sequence[tuple[int, int]]]) -> Metrics:
        return Metrics.from_confusion(pooled(blocks, self._classes), boundary_iou=boundary_iou(boundaries))


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

    truth, predicted: one shape, 0, 1 or 255 (not counted). reference: of that shape, index into `names`, 255 where the
    labels name nothing: such pixels are wrong too, but no name is theirs. Names with no such pixel are left out.
    """
    wrong = reference[(truth == 0) & (predicted == 1)]
    pixels = np.bincount(wrong, minlength=256)
    return {name: int(count) for name, count in zip(names, pixels, strict=False) if count}


def _mean(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None
