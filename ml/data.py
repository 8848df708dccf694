"""The files that a training works on."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Self

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

    mask: uint8 GeoTIFF on exactly the scene's grid. Band 1: class values, 255 where unlabelled, not valid or of another
    split. Band 2, if there is one: index into `TrainingData.references`, 255 where the labels name none.
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

    def hashed(self) -> Self:
        """The same with its `sha256`, in hexadecimal: of contract, references, and by split names, scenes and masks."""
        of_file = cache(_file_sha256)  # with blocks, a scene is in every split
        files = [
            [split, scene.name, scene.nodata, of_file(scene.path), of_file(scene.mask)]
            for split in ("train", "val", "test")
            for scene in getattr(self, split)
        ]
        document = {"contract": self.contract.model_dump(mode="json"), "references": self.references, "files": files}
        digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
        return self.model_copy(update={"sha256": digest})


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
