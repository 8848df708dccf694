"""The files that a training works on."""

from pathlib import Path

from ml.contract import Contract, SceneRadiometry
from ml.frozen import Frozen


class SceneFile(Frozen):
    """A scene on disk. nodata, bands: what its owner declared, or None to believe the file.

    radiometry: what homogenisation found in it before; None: it has to look itself.
    """

    name: str
    path: Path
    nodata: float | None = None
    bands: tuple[str, ...] | None = None
    radiometry: SceneRadiometry | None = None


class LabelledScene(SceneFile):
    """A scene with the mask of one split.

    mask: uint8 GeoTIFF on exactly the scene's grid. Band 1: class values, 255 where unlabelled or of another split.
    Band 2, if there is one: index into `TrainingData.references`, 255 where the labels name none.
    """

    mask: Path


class TrainingData(Frozen):
    """The splits of a dataset, and the contract its training pixels imply.

    references: names of what the labels call the pixels ("cassava"), before they were mapped to classes.
    sha256: of scenes, masks and contract, so that two trainings can be known to have seen the same; "" if not computed.
    """

    train: tuple[LabelledScene, ...]
    val: tuple[LabelledScene, ...]
    test: tuple[LabelledScene, ...] = ()
    contract: Contract
    references: tuple[str, ...] = ()
    sha256: str = ""
