"""Three small scenes with labels, from which tests make datasets."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from ml.contract import BINARY
from ml.data import SceneFile
from ml.datasets.prepare import LabelFile, Prepared, prepare
from ml.datasets.splits import BlockSplit, SceneSplit
from ml.faults import InputRefused
from ml.labels.classes import LabelOptions
from tests.ml.conftest import GRID, MakeScene
from tests.ml.labels.layers import geojson, square

RNG = np.random.default_rng(0)
SIZE = 64
BY_SCENE = SceneSplit(by="scene", train=("a",), val=("b",), test=("c",))


class World:
    """Three scenes side by side, a, b and c, each with a field of 10 x 10 px in its corner."""

    def __init__(self, folder: Path, make_scene: MakeScene) -> None:
        self.folder, self.make_scene = folder, make_scene
        self.scenes = [self.scene(name, 100 * number) for number, name in enumerate("abc")]
        self.fields = self.label("plots", [(square(100 * number, 0), {}) for number in range(3)])

    def scene(self, name: str, col: int, image: np.ndarray | None = None, **options: Any) -> SceneFile:
        if image is None:
            image = RNG.integers(1, 1000, (2, SIZE, SIZE), dtype=np.uint16)
        path = self.make_scene(image, f"{name}.tif", transform=GRID @ Affine.translation(col, 0), nodata=0, **options)
        return SceneFile(name=name, path=path)

    def label(self, name: str, items: list[Any], **options: Any) -> LabelFile:
        """Labels whose polygons leave the rest of a scene in class 0, unless `options` say otherwise."""
        given = LabelOptions(**{"background": 0} | options)
        return LabelFile(name=name, path=geojson(self.folder / name, items), options=given)

    def prepare(self, split: SceneSplit | BlockSplit = BY_SCENE, *more: LabelFile, **changes: Any) -> Prepared:
        options: dict[str, Any] = {"scenes": self.scenes, "labels": [self.fields, *more], "classes": BINARY} | changes
        return prepare(split=split, out=self.folder / "out", **options)

    def faults(self, split: SceneSplit | BlockSplit = BY_SCENE, *more: LabelFile, **changes: Any) -> dict[str, str]:
        with pytest.raises(InputRefused) as refused:
            self.prepare(split, *more, **changes)
        assert all(fault.detail and fault.hint for fault in refused.value.faults)
        return {fault.pointer: fault.code for fault in refused.value.faults}
