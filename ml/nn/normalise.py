"""Normalisation of pixels for the net, shared by training and prediction, and the choice of the device."""

from collections.abc import Sequence
from functools import lru_cache
from math import inf

import torch
from torch import Tensor

from ml.contract import BandStatistics
from ml.faults import Fault, InputRefused


def normalise(image: Tensor, valid: Tensor, statistics: Sequence[BandStatistics]) -> Tensor:
    """Normalise each band to (image - mean) / std.

    Outliers are clipped before. Pixels that are not valid become 0, which is the mean. A constant band becomes 0.

    image: Pixels in the units of the bands, float32 (N, B, H, W).
    valid: Whether each pixel has data, bool (N, H, W).
    statistics: Statistics of the B bands, measured on the training split. They do not depend on the scene, so
        neighbouring scenes are normalised alike.
    """
    mean, std, low, high = _numbers(tuple(statistics), image.dtype, image.device)
    if any(band.low is not None or band.high is not None for band in statistics):
        image = image.clamp(low, high)
    normal: Tensor = image - mean  # the only new tensor; all further operations work in place
    return normal.div_(std).masked_fill_(~valid[:, None], 0)


@lru_cache(maxsize=16)
def _numbers(statistics: tuple[BandStatistics, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return mean, std, low and high of each band as one tensor (4, B, 1, 1).

    The tensor is cached, because each copy to a GPU would wait for the GPU.
    """
    rows = [
        [band.mean for band in statistics],
        [band.std or 1.0 for band in statistics],
        [-inf if band.low is None else band.low for band in statistics],
        [inf if band.high is None else band.high for band in statistics],
    ]
    return torch.tensor(rows, dtype=dtype, device=device)[:, :, None, None]


def choose_device(name: str) -> torch.device:
    """Return the device for `name`: "cpu", "cuda" or "auto", which is the GPU if this machine has one.

    Raises:
        InputRefused: code `no_gpu`: `name` is "cuda", and this machine has no GPU.
    """
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        hint = "Set device to auto or cpu, or run this on a machine with a GPU."
        raise InputRefused(Fault("no_gpu", "The config requires a GPU, but this machine has none.", hint, "/device"))
    return torch.device("cuda" if has_gpu and name != "cpu" else "cpu")
