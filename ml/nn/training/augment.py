"""Chips moved, turned and roughened, a batch at a time and on the net's own device."""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ml.config import Augmentation
from ml.contract import UNLABELLED
from ml.nn.training.ranks import ALONE, Ranks

MOVED_SHARE = 0.5  # of the chips; the others keep their exact pixels, as sharp as prediction sees them
LARGEST_TILT = math.radians(45)  # beyond a quarter turn: with quarter turns any angle
LARGEST_SHIFT = 1 / 8  # of the chip's side
LARGEST_ZOOM = 1.25
LARGEST_SHEAR = math.tan(math.radians(10))
LARGEST_NOISE = 0.1  # standard deviation, in the units of a normalised band
LARGEST_JITTER = 0.2  # of a band's gain and of its offset, in the units of a normalised band
_GEOMETRIC = {"flip", "rotate", "translate", "scale", "affine"}


def augment(
    image: Tensor,
    mask: Tensor,
    kinds: Collection[Augmentation],
    generator: torch.Generator,
    ranks: Ranks = ALONE,
) -> tuple[Tensor, Tensor]:
    """Image and mask after the augmentations named in `kinds`, each chip in its own way.

    image: float32 (N, B, S, S), normalised, so that what comes in from outside is 0. mask: uint8 (N, S, S), moved by
    nearest neighbour, unlabelled outside. generator: on the device of `image`; its state decides everything. "crop" is
    not done here: it is where `ml.nn.training.chips` cuts. ranks: who has the other parts of the batch, of which this
    is one; the numbers are drawn for all of it, so that each chip moves in the same way whoever has it.
    """
    dice = _RandomDraws(generator, ranks)
    if not _GEOMETRIC.isdisjoint(kinds):
        grid = functional.affine_grid(_affine(len(image), kinds, dice), list(image.shape), align_corners=False)
        image = functional.grid_sample(image, grid, mode="bilinear", align_corners=False)
        # grid_sample fills with 0: turn the mask round, so that 0 is unlabelled
        labelled = (UNLABELLED - mask)[:, None].to(image.dtype)
        labelled = functional.grid_sample(labelled, grid, mode="nearest", align_corners=False)
        mask = UNLABELLED - labelled[:, 0].round().to(torch.uint8)
    if "colour_jitter" in kinds:
        gain, offset = (LARGEST_JITTER * (2 * dice.uniform(image.shape[:2]) - 1) for _ in range(2))
        image = image * (1 + gain[..., None, None]) + offset[..., None, None]
    if "noise" in kinds:
        strength = LARGEST_NOISE * dice.uniform((len(image), 1, 1, 1))
        image = image + strength * dice.normal(image.shape)
    return image, mask


@dataclass(frozen=True)
class _RandomDraws:
    """Random numbers (n, ...) of n chips: this rank's part of those that are drawn for the whole batch."""

    generator: torch.Generator
    ranks: Ranks

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        """In [0, 1)."""
        return self._part(torch.rand, shape)

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """Of mean 0 and standard deviation 1."""
        return self._part(torch.randn, shape)

    def _part(self, draw: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        whole = (shape[0] * self.ranks.count, *shape[1:])
        numbers = draw(whole, generator=self.generator, device=self.generator.device)
        return numbers[self.ranks.part(len(numbers))]


def _affine(count: int, kinds: Collection[Augmentation], dice: _RandomDraws) -> Tensor:
    """Random maps (count, 2, 3) from a chip's coordinates in [-1, 1] to where its pixels come from."""

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * dice.uniform((count,))

    moved = (uniform(0, 1) < MOVED_SHARE).float()
    device = dice.generator.device
    mirror, turns = torch.ones(count, device=device), torch.zeros(count, device=device)
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
