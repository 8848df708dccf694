"""Reads what every peer needs of a checkpoint, without torch and without canemap's settings of GDAL."""

import json

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

Pixels = NDArray[np.float32]


def header(model: str) -> dict[str, object]:
    """The header of a checkpoint, as JSON."""
    with safe_open(model, framework="numpy") as file:
        found: dict[str, object] = json.loads(file.metadata()["canemap"])
    return found


def mean_and_std(model: str) -> tuple[Pixels, Pixels]:
    """Mean and std of each band, float32 (bands, 1, 1): the input of the net is (image - mean) / std."""
    contract = header(model)["contract"]
    assert isinstance(contract, dict)
    numbers = np.array([(band["mean"], band["std"]) for band in contract["statistics"]], np.float32)
    return numbers[:, 0, None, None], numbers[:, 1, None, None]
