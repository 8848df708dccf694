"""How pixels become what the net sees: the same few lines for training and for prediction."""

from collections.abc import Sequence
from functools import lru_cache
from math import inf

import torch
from torch import Tensor

from ml.contract import BandStatistics
from ml.faults import Fault, InputRefused


def normalise(image: Tensor, valid: Tensor, statistics: Sequence[BandStatistics]) -> Tensor:
    """(image - mean) / std band by band, outliers clipped before, and 0, the mean, where not valid.

    image: float32 (N, B, H, W) in the bands' own units. valid: bool (N, H, W). statistics: of the B bands, from the
    training split, so that a scene looks the same to the net whatever stands beside it. A constant band becomes 0.
    """
    mean, std, low, high = _numbers(tuple(statistics), image.dtype, image.device)
    if any(band.low is not None or band.high is not None for band in statistics):
        image = image.clamp(low, high)
    normal: Tensor = image - mean  # the one new array; the rest happens in it
    return normal.div_(std).masked_fill_(~valid[:, None], 0)


@lru_cache(maxsize=16)
def _numbers(statistics: tuple[BandStatistics, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """mean, std, low and high of each band, (4, B, 1, 1): kept, since each copy to a GPU would wait for it."""
    rows = [
        [band.mean for band in statistics],
        [band.std or 1.0 for band in statistics],
        [-inf if band.low is None else band.low for band in statistics],
        [inf if band.high is None else band.high for band in statistics],
    ]
    return torch.tensor(rows, dtype=dtype, device=device)[:, :, None, None]


def choose_device(name: str) -> torch.device:
    """The device called "cpu" or "cuda"; "auto" is the GPU where there is one.

    Raises:
        InputRefused: code `no_gpu`.
    """
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        hint = "Ask for device auto or cpu, or run this on a machine with a GPU."
        raise InputRefused(Fault("no_gpu", "The config asks for a GPU, and this machine has none.", hint, "/device"))
    return torch.device("cuda" if there and name != "cpu" else "cpu")


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """What "float32", "bfloat16" or "auto" means on `device`; "auto" is bfloat16 on a GPU that has it."""
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if name == "bfloat16" or (name == "auto" and fast) else torch.float32
