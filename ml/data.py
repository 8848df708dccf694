"""The files of a training: scenes, masks and their contract."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Self

from ml.contract import Contract, SceneRadiometry
from ml.frozen import Frozen


class SceneFile(Frozen):
    """A scene on disk.

    nodata, bands: Nodata value and band names that the owner declared, or None to use those in the file. radiometry:
    Statistics for homogenisation, or None if they must still be computed.
    """

    name: str
    path: Path
    nodata: float | None = None
    bands: tuple[str, ...] | None = None
    radiometry: SceneRadiometry | None = None


class LabelledScene(SceneFile):
    """A scene with the mask of one split.

    mask: Path of a uint8 GeoTIFF on exactly the scene's grid. Band 1 has class values, and 255 where a pixel is
    unlabelled, not valid or in another split. Band 2, if there is one, has an index into `TrainingData.references`, and
    255 where the labels give no name.
    """

    mask: Path


class TrainingData(Frozen):
    """The splits of a dataset, and the contract that follows from its training pixels.

    references: Names that the labels give to pixels ("cassava"), before these names were mapped to classes. sha256:
    Hash of scenes, masks and contract, which shows whether two trainings used the same data; "" if not computed.
    """

    train: tuple[LabelledScene, ...]
    val: tuple[LabelledScene, ...]
    test: tuple[LabelledScene, ...] = ()
    contract: Contract
    references: tuple[str, ...] = ()
    sha256: str = ""

    def hashed(self) -> Self:
        """The same data with its `sha256` in hexadecimal, over contract, references and the files of each split."""
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
