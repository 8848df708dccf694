"""What every peer knows of the model, without torch and without canemap's settings of GDAL."""

import json

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

Pixels = NDArray[np.float32]


def header(model: str) -> dict[str, object]:
    """The checkpoint's own description, as its JSON says it."""
    with safe_open(model, framework="numpy") as file:
        found: dict[str, object] = json.loads(file.metadata()["canemap"])
    return found


def mean_and_std(model: str) -> tuple[Pixels, Pixels]:
    """Of each band, float32 (bands, 1, 1): the net wants (image - mean) / std."""
    contract = header(model)["contract"]
    assert isinstance(contract, dict)
    numbers = np.array([(band["mean"], band["std"]) for band in contract["statistics"]], np.float32)
    return numbers[:, 0, None, None], numbers[:, 1, None, None]
