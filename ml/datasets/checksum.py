"""One number for all that a training works on."""

import hashlib
import json
from functools import cache
from pathlib import Path

from ml.data import TrainingData
from ml.datasets.splits import SPLITS


def dataset_sha256(data: TrainingData) -> str:
    """SHA-256, in hexadecimal: of contract, references, and by split the names, scenes and masks in order."""
    of_file = cache(_file_sha256)  # with blocks, a scene is in every split
    parts = [
        [split, scene.name, scene.nodata, of_file(scene.path), of_file(scene.mask)]
        for split in SPLITS
        for scene in getattr(data, split)
    ]
    document = {"contract": data.contract.model_dump(mode="json"), "references": data.references, "files": parts}
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
