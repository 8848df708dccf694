"""Chips moved, turned and roughened, a batch at a time and on the net's own device.

Colour jitter is left out on purpose: the paper found that it hurts, since colour is what tells the crops apart.
"""

import math
from collections.abc import Collection

import torch
from torch import Tensor
from torch.nn import functional

from ml.config import Augmentation

MOVED_SHARE = 0.5  # of the chips; the others keep their exact pixels, as sharp as prediction sees them
LARGEST_TILT = math.radians(15)  # beyond a quarter turn
LARGEST_SHIFT = 1 / 8  # of the chip's side
LARGEST_ZOOM = 1.25
LARGEST_NOISE = 0.1  # standard deviation, in the units of a normalised band


def augment(
    image: Tensor, mask: Tensor, kinds: Collection[Augmentation], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Image and mask after the augmentations named in `kinds`, each chip in its own way.

    image: float32 (N, B, S, S), normalised, so that what comes in from outside is 0. mask: uint8 (N, S, S); outside is
    255. generator: on the device of `image`; its state decides everything.
    """
    if not {"flip", "rotate", "translate", "scale"}.isdisjoint(kinds):
        grid = functional.affine_grid(_affine(len(image), kinds, generator), list(image.shape), align_corners=False)
        image = functional.grid_sample(image, grid, mode="bilinear", align_corners=False)
        # grid_sample fills with 0: turn the mask round, so that 0 means 255
        labelled = (255 - mask)[:, None].to(image.dtype)
        labelled = functional.grid_sample(labelled, grid, mode="nearest", align_corners=False)
        mask = 255 - labelled[:, 0].round().to(torch.uint8)
    if "noise" in kinds:
        strength = LARGEST_NOISE * torch.rand((len(image), 1, 1, 1), generator=generator, device=generator.device)
        image = image + strength * torch.randn(image.shape, generator=generator, device=generator.device)
    return image, mask


def _affine(count: int, kinds: Collection[Augmentation], generator: torch.Generator) -> Tensor:
    """Random maps (count, 2, 3) from a chip's coordinates in [-1, 1] to where its pixels come from."""

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator, device=generator.device)

    moved = (uniform(0, 1) < MOVED_SHARE).float()
    mirror, turns = torch.ones(count, device=generator.device), torch.zeros(count, device=generator.device)
    angle, zoom, shift_x, shift_y = turns, mirror, turns, turns
    if "flip" in kinds:
        mirror = 1 - 2 * uniform(0, 2).floor()
        turns = 2 * uniform(0, 2).floor()  # mirrored and turned half round is mirrored along the other axis
    if "rotate" in kinds:
        turns = turns + uniform(0, 4).floor()
        angle = moved * uniform(-LARGEST_TILT, LARGEST_TILT)
    if "scale" in kinds:
        zoom = torch.exp(moved * uniform(-1, 1) * math.log(LARGEST_ZOOM))
    if "translate" in kinds:
        shift_x, shift_y = (2 * moved * uniform(-LARGEST_SHIFT, LARGEST_SHIFT) for _ in "xy")
    angle = angle + turns * (math.pi / 2)
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    return torch.stack([mirror * cos, -sin, shift_x, mirror * sin, cos, shift_y], dim=1).view(-1, 2, 3)
