"""Exact prediction of a scene of any size by windows: the one core that validation and prediction share.

A window is read with a margin of the net's reach, computed, and cropped to its core. Windows lie on the net's 2^depth
grid, anchored at the scene's origin, and normalisation uses stored numbers, so the result equals that of the whole
scene in one piece (padded with zeros on the right and below up to the grid) up to float rounding: there is no seam.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from ml.contract import Contract
from ml.geo.source import Source
from ml.geo.windows import Tile, Window, margin, strips
from ml.nn.inputs import normalise
from ml.nn.unet import UNet

Logits = NDArray[np.float32]
Valid = NDArray[np.bool_]


def scene_strips(net: UNet, source: Source, window_px: int) -> list[list[Tile]]:
    """The rows of tiles that `net` needs to cover `source`, cores about `window_px` wide and high."""
    step = 2**net.depth
    return list(strips(source.rows, source.cols, window_px=window_px, margin=margin(net.depth), step=step))


def predict_logits(
    net: UNet, contract: Contract, source: Source, *, window_px: int
) -> Iterator[tuple[Window, Logits, Valid]]:
    """Every pixel of `source` once, by windows from the top down: window, logits, valid; see `predict_tile`."""
    for strip in scene_strips(net, source, window_px):
        for tile in strip:
            yield tile.core, *predict_tile(net, contract, source, tile)


def predict_tile(net: UNet, contract: Contract, source: Source, tile: Tile) -> tuple[Logits, Valid]:
    """The logits of a tile's core, float32 (outputs, rows, cols); and which of its pixels are valid.

    net: on any device, in eval mode; of `ml.nn.unet.for_prediction` for speed. Where not valid a logit means nothing;
    a core without a valid pixel is not computed.
    """
    inside = tile.read.clip(source.rows, source.cols)
    image, valid = source.read(inside)
    core = tile.core.within(tile.read).slices
    if not valid[core].any():
        return np.zeros((net.outputs, *valid[core].shape), dtype=np.float32), valid[core]
    device = next(net.parameters()).device
    pixels, usable = (torch.from_numpy(array).to(device)[None] for array in (image, valid))
    padding = (0, tile.read.cols - inside.cols, 0, tile.read.rows - inside.rows)
    padded = functional.pad(normalise(pixels, usable, contract.statistics), padding)
    with torch.inference_mode():
        logits = net(padded.contiguous(memory_format=torch.channels_last))
    return logits[0, :, *core].float().cpu().numpy(), valid[core]
