"""The files that a training works on."""

from pathlib import Path

from ml.contract import Contract
from ml.model import Frozen


class SceneFile(Frozen):
    """A scene on disk. nodata, bands: what its owner declared, or None to believe the file."""

    name: str
    path: Path
    nodata: float | None = None
    bands: tuple[str, ...] | None = None


class LabelledScene(SceneFile):
    """A scene with the mask of one split.

    mask: uint8 GeoTIFF on exactly the scene's grid; class values, 255 where unlabelled or of another split.
    """

    mask: Path


class TrainingData(Frozen):
    """The splits of a dataset, and the contract its training pixels imply."""

    train: tuple[LabelledScene, ...]
    val: tuple[LabelledScene, ...]
    test: tuple[LabelledScene, ...] = ()
    contract: Contract
