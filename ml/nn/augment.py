"""Chips moved, turned and roughened, a batch at a time and on the net's own device."""

import math
from collections.abc import Collection

import torch
from torch import Tensor
from torch.nn import functional

from ml.config import Augmentation

MOVED_SHARE = 0.5  # of the chips; the others keep their exact pixels, as sharp as prediction sees them
LARGEST_TILT = math.radians(45)  # beyond a quarter turn: with quarter turns any angle
LARGEST_SHIFT = 1 / 8  # of the chip's side
LARGEST_ZOOM = 1.25
LARGEST_SHEAR = math.tan(math.radians(10))
LARGEST_NOISE = 0.1  # standard deviation, in the units of a normalised band
LARGEST_JITTER = 0.2  # of a band's gain and of its offset, in the units of a normalised band
_GEOMETRIC = {"flip", "rotate", "translate", "scale", "affine"}


def augment(
    image: Tensor, mask: Tensor, kinds: Collection[Augmentation], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Image and mask after the augmentations named in `kinds`, each chip in its own way.

    image: float32 (N, B, S, S), normalised, so that what comes in from outside is 0. mask: uint8 (N, S, S), moved by
    nearest neighbour; outside is 255. generator: on the device of `image`; its state decides everything. "crop" is not
    done here: it is where `ml.nn.chips` cuts.
    """
    if not _GEOMETRIC.isdisjoint(kinds):
        grid = functional.affine_grid(_affine(len(image), kinds, generator), list(image.shape), align_corners=False)
        image = functional.grid_sample(image, grid, mode="bilinear", align_corners=False)
        # grid_sample fills with 0: turn the mask round, so that 0 means 255
        labelled = (255 - mask)[:, None].to(image.dtype)
        labelled = functional.grid_sample(labelled, grid, mode="nearest", align_corners=False)
        mask = 255 - labelled[:, 0].round().to(torch.uint8)
    if "colour_jitter" in kinds:
        gain, offset = (LARGEST_JITTER * (2 * _random(image.shape[:2], generator) - 1) for _ in range(2))
        image = image * (1 + gain[..., None, None]) + offset[..., None, None]
    if "noise" in kinds:
        strength = LARGEST_NOISE * _random((len(image), 1, 1, 1), generator)
        image = image + strength * torch.randn(image.shape, generator=generator, device=generator.device)
    return image, mask


def _random(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _affine(count: int, kinds: Collection[Augmentation], generator: torch.Generator) -> Tensor:
    """Random maps (count, 2, 3) from a chip's coordinates in [-1, 1] to where its pixels come from."""

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * _random((count,), generator)

    moved = (uniform(0, 1) < MOVED_SHARE).float()
    mirror, turns = torch.ones(count, device=generator.device), torch.zeros(count, device=generator.device)
    angle, zoom, shear, shift_x, shift_y = turns, mirror, turns, turns, turns
    if "flip" in kinds:
        mirror = 1 - 2 * uniform(0, 2).floor()
        turns = 2 * uniform(0, 2).floor()  # mirrored and turned half round is mirrored along the other axis
    if "rotate" in kinds:
        turns = turns + uniform(0, 4).floor()
        angle = moved * uniform(-LARGEST_TILT, LARGEST_TILT)
    if "scale" in kinds:
        zoom = torch.exp(moved * uniform(-1, 1) * math.log(LARGEST_ZOOM))
    if "affine" in kinds:
        shear = moved * uniform(-LARGEST_SHEAR, LARGEST_SHEAR)
    if "translate" in kinds:
        shift_x, shift_y = (2 * moved * uniform(-LARGEST_SHIFT, LARGEST_SHIFT) for _ in "xy")
    angle = angle + turns * (math.pi / 2)
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    # rotation and zoom after a mirror and a shear: [[cos, -sin], [sin, cos]] @ [[mirror, shear], [0, 1]]
    rows = [mirror * cos, shear * cos - sin, shift_x, mirror * sin, shear * sin + cos, shift_y]
    return torch.stack(rows, dim=1).view(-1, 2, 3)
