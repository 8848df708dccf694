"""Augmentation moves image and mask together, and pixels from outside a chip are unlabelled."""

import pytest
import torch
from torch import Tensor

from ml.config import AUGMENTATIONS, Augmentation
from ml.nn.training.augment import BAND_RADIOMETRY, SCENE_RADIOMETRY, augment
from ml.nn.training.ranks import Ranks

SIZE = 32


@pytest.fixture
def chips() -> tuple[Tensor, Tensor]:
    """Make 64 equal chips whose mask is 1 in an asymmetric L and whose image equals the mask."""
    mask = torch.zeros(64, SIZE, SIZE, dtype=torch.uint8)
    mask[:, 4:24, 4:12] = 1
    mask[:, 18:24, 12:28] = 1
    return mask[:, None].float(), mask


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_without_augmentations_nothing_changes(chips: tuple[Tensor, Tensor]) -> None:
    image, mask = augment(*chips, (), seeded())
    assert torch.equal(image, chips[0])
    assert torch.equal(mask, chips[1])


def test_flips_keep_every_pixel_exactly_and_all_four_occur(chips: tuple[Tensor, Tensor]) -> None:
    _, mask = augment(*chips, ["flip"], seeded())
    original = chips[1][0]
    expected = [original, original.flip(0), original.flip(1), original.flip(0, 1)]
    found = {next(i for i, flipped in enumerate(expected) if torch.equal(flipped, chip)) for chip in mask}
    assert found == {0, 1, 2, 3}


@pytest.mark.parametrize("kind", ["flip", "rotate", "translate", "scale", "affine"])
def test_the_mask_moves_with_the_image(chips: tuple[Tensor, Tensor], kind: Augmentation) -> None:
    image, mask = augment(*chips, [kind], seeded())
    known = mask != 255
    shown = (image[:, 0] > 0.5).to(torch.uint8)
    assert (shown[known] == mask[known]).float().mean() > 0.98, "only edges may differ by rounding"
    assert not torch.equal(mask, chips[1]), "something moved"


@pytest.mark.parametrize("kind", ["rotate", "translate", "scale", "affine"])
def test_pixels_from_outside_the_chip_are_unlabelled_and_0(kind: Augmentation) -> None:
    image, mask = torch.ones(64, 1, SIZE, SIZE), torch.ones(64, SIZE, SIZE, dtype=torch.uint8)
    image, mask = augment(image, mask, [kind], seeded())
    assert set(mask.flatten().tolist()) == {1, 255}
    assert image[:, 0][mask == 255].max() <= 0.75


def test_half_of_the_chips_keep_their_exact_pixels(chips: tuple[Tensor, Tensor]) -> None:
    image, _ = augment(*chips, ["scale", "translate"], seeded())
    kept = sum(torch.allclose(chip, original, atol=1e-4) for chip, original in zip(image, chips[0], strict=True))
    assert 16 <= kept <= 48


def test_unlabelled_pixels_stay_unlabelled(chips: tuple[Tensor, Tensor]) -> None:
    _, mask = augment(chips[0], torch.full_like(chips[1], 255), AUGMENTATIONS, seeded())
    assert (mask == 255).all()


def test_noise_keeps_the_mask_and_differs_between_chips(chips: tuple[Tensor, Tensor]) -> None:
    image, mask = augment(*chips, ["noise"], seeded())
    spread = (image - chips[0]).std(dim=(1, 2, 3))
    assert torch.equal(mask, chips[1])
    assert spread.max() < 0.12
    assert spread.max() > 3 * spread.min()


def test_the_seed_decides_everything(chips: tuple[Tensor, Tensor]) -> None:
    first, again, other = (augment(*chips, AUGMENTATIONS, seeded(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_rotation_uses_every_angle() -> None:
    # a histogram, in bins of 15 degrees, of the direction of a bright line through the middle of each rotated chip
    image = torch.zeros(400, 1, SIZE, SIZE)
    image[:, :, SIZE // 2 - 1 : SIZE // 2 + 1] = 1
    turned, _ = augment(image, torch.zeros(400, SIZE, SIZE, dtype=torch.uint8), ["rotate"], seeded())
    ys, xs = torch.meshgrid(*(torch.arange(SIZE) - SIZE / 2 + 0.5 for _ in "yx"), indexing="ij")
    weight = turned[:, 0]
    xx, yy, xy = ((weight * product).sum(dim=(1, 2)) for product in (xs * xs, ys * ys, xs * ys))
    degrees = torch.rad2deg(torch.atan2(2 * xy, xx - yy) / 2)
    assert torch.histc(degrees, bins=12, min=-90, max=90).min() > 5


def test_colour_jitter_changes_each_band_differently_and_is_off_by_default(chips: tuple[Tensor, Tensor]) -> None:
    assert "colour_jitter" not in AUGMENTATIONS
    image = torch.ones(64, 2, SIZE, SIZE)
    jittered, mask = augment(image, chips[1], ["colour_jitter"], seeded())
    assert torch.equal(mask, chips[1])
    assert (jittered - image).abs().max() < 0.45
    assert (jittered[:, 0] != jittered[:, 1]).any()


def test_radiometry_is_a_gain_and_an_offset_that_bands_mostly_share_and_is_off_by_default() -> None:
    assert "radiometry" not in AUGMENTATIONS
    image = torch.randn(4000, 3, 2, 2)
    changed, _ = augment(image, torch.zeros(4000, 2, 2, dtype=torch.uint8), ["radiometry"], seeded())
    first, second = (tensor.flatten(2) for tensor in (image, changed))
    gain = (second[..., 1] - second[..., 0]) / (first[..., 1] - first[..., 0])
    offset = second[..., 0] - gain * first[..., 0]
    for change in (gain - 1, offset):
        change = change[(first[..., 1] - first[..., 0]).abs().min(dim=1).values > 0.1]  # else rounding counts
        assert change.mean().abs() < 0.01
        assert change.std() == pytest.approx((SCENE_RADIOMETRY**2 + BAND_RADIOMETRY**2) ** 0.5, rel=0.05)
        own = change - change.mean(dim=1, keepdim=True)
        assert own.std() == pytest.approx(BAND_RADIOMETRY * (2 / 3) ** 0.5, rel=0.05)


def test_radiometry_leaves_pixels_without_data_at_0(chips: tuple[Tensor, Tensor]) -> None:
    image, mask = augment(*chips, ["radiometry"], seeded())
    assert torch.equal(mask, chips[1])
    assert torch.equal(image == 0, chips[0] == 0)


def test_a_chip_is_augmented_in_the_same_way_whichever_rank_has_it(chips: tuple[Tensor, Tensor]) -> None:
    kinds: tuple[Augmentation, ...] = (*AUGMENTATIONS, "radiometry")
    whole = augment(*chips, kinds, seeded())
    parts = []
    for ranks in (Ranks(0, 2), Ranks(1, 2)):
        image, mask = (tensor[ranks.share(len(tensor))] for tensor in chips)
        parts.append(augment(image, mask, kinds, seeded(), ranks))
    for tensor, pieces in zip(whole, zip(*parts, strict=True), strict=True):
        assert torch.equal(torch.cat(pieces), tensor)
