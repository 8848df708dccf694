"""Augmentation of chips: geometric transforms, changes of radiometry and noise, batch by batch on the net's device."""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ml.config import Augmentation
from ml.contract import UNLABELLED
from ml.nn.training.ranks import ALONE, Ranks

MOVED_SHARE = 0.5  # share of chips that are resampled; the others stay as sharp as in a prediction
LARGEST_TILT = math.radians(45)  # added to random quarter turns, so that every angle occurs
LARGEST_SHIFT = 1 / 8  # as a share of the chip's side
LARGEST_ZOOM = 1.25
LARGEST_SHEAR = math.tan(math.radians(10))
LARGEST_NOISE = 0.1  # standard deviation, in the units of a normalised band
LARGEST_JITTER = 0.2  # change of a band's gain, and of its offset in the units of a normalised band
# standard deviations of the gain less 1, and of the offset in the units of a normalised band
SCENE_RADIOMETRY, BAND_RADIOMETRY = 0.1, 0.05
_GEOMETRIC = {"flip", "rotate", "translate", "scale", "affine"}


def augment(
    image: Tensor,
    mask: Tensor,
    kinds: Collection[Augmentation],
    generator: torch.Generator,
    ranks: Ranks = ALONE,
) -> tuple[Tensor, Tensor]:
    """Augment image and mask in the ways that `kinds` names, with other random numbers for each chip.

    "crop" has no effect here: `ml.nn.training.chips` crops when it chooses the positions of chips.

    image: Normalised pixels, float32 (N, B, S, S). Pixels that come in from outside the chip are 0.
    mask: Class indices, uint8 (N, S, S), resampled by nearest neighbour. Pixels from outside the chip are unlabelled.
    generator: Source of all random numbers, on the device of `image`.
    ranks: The processes that share the batch. Random numbers are drawn for the whole batch, so that each chip is
        augmented in the same way whichever rank has it.
    """
    draws = _RandomDraws(generator, ranks)
    if not _GEOMETRIC.isdisjoint(kinds):
        grid = functional.affine_grid(_affine(len(image), kinds, draws), list(image.shape), align_corners=False)
        image = functional.grid_sample(image, grid, mode="bilinear", align_corners=False)
        # grid_sample fills with 0: invert the mask, so that 0 means unlabelled
        labelled = (UNLABELLED - mask)[:, None].to(image.dtype)
        labelled = functional.grid_sample(labelled, grid, mode="nearest", align_corners=False)
        mask = UNLABELLED - labelled[:, 0].round().to(torch.uint8)
    if "colour_jitter" in kinds:
        gain, offset = (LARGEST_JITTER * (2 * draws.uniform(image.shape[:2]) - 1) for _ in range(2))
        image = image * (1 + gain[..., None, None]) + offset[..., None, None]
    if "radiometry" in kinds:
        image = _other_radiometry(image, draws)
    if "noise" in kinds:
        strength = LARGEST_NOISE * draws.uniform((len(image), 1, 1, 1))
        image = image + strength * draws.normal(image.shape)
    return image, mask


def _other_radiometry(image: Tensor, draws: "_RandomDraws") -> Tensor:
    """Change each chip as if its scene had been taken under other light: by a gain and an offset.

    Both are the same for all bands, up to a smaller part for each band. Pixels without data stay 0, as in a prediction.
    """

    def change() -> Tensor:
        count, bands = image.shape[:2]
        drawn = SCENE_RADIOMETRY * draws.normal((count, 1)) + BAND_RADIOMETRY * draws.normal((count, bands))
        return drawn[..., None, None]

    return image * (1 + change()) + change() * (image != 0).any(dim=1, keepdim=True)


@dataclass(frozen=True)
class _RandomDraws:
    """Random numbers (n, ...) for the n chips of this rank, cut out of the numbers drawn for the whole batch."""

    generator: torch.Generator
    ranks: Ranks

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        """Draw numbers from the uniform distribution on [0, 1)."""
        return self._own(torch.rand, shape)

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """Draw numbers from the normal distribution with mean 0 and standard deviation 1."""
        return self._own(torch.randn, shape)

    def _own(self, draw: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        whole = (shape[0] * self.ranks.count, *shape[1:])
        numbers = draw(whole, generator=self.generator, device=self.generator.device)
        return numbers[self.ranks.share(len(numbers))]


def _affine(count: int, kinds: Collection[Augmentation], draws: _RandomDraws) -> Tensor:
    """Draw random affine maps (count, 2, 3) from output coordinates in [-1, 1] to the coordinates to sample."""

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * draws.uniform((count,))

    moved = (uniform(0, 1) < MOVED_SHARE).float()
    device = draws.generator.device
    mirror, turns = torch.ones(count, device=device), torch.zeros(count, device=device)
    angle, zoom, shear, shift_x, shift_y = turns, mirror, turns, turns, turns
    if "flip" in kinds:
        mirror = 1 - 2 * uniform(0, 2).floor()
        turns = 2 * uniform(0, 2).floor()  # a mirror and a half turn give the mirror along the other axis
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
