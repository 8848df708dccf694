"""The fault of a chip agrees with the plain definition."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ml.contract import BandStatistics
from ml.datasets.unusable_chips import CLOUD_SHARE, CLOUD_STD, ChipFault, chip_fault

BAND = BandStatistics(mean=10.2, std=3.1, min=0, max=255)


def plainly(image: np.ndarray, valid: np.ndarray, min_valid: float) -> ChipFault | None:
    """The fault by its definition, computed from all valid pixels at once."""
    if not valid.any() or valid.mean() < min_valid:
        return "little_valid"
    pixels = image[:, valid]
    if len(np.unique(pixels, axis=1).T) == 1:
        return "constant" if pixels.shape[1] > 1 else None
    bright = (pixels > BAND.mean + CLOUD_STD * BAND.std).all(axis=0)
    return "cloud" if bright.mean() > CLOUD_SHARE else None


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.2, 0.8, 1.0]), st.sampled_from([0.0, 0.5, 0.7, 1.0]))
def test_the_fault_of_a_random_chip_agrees_with_the_definition(
    seed: int, valid_share: float, cloud_share: float
) -> None:
    random = np.random.default_rng(seed)
    valid = random.random((6, 5)) < valid_share
    image = np.where(random.random((2, 6, 5)) < cloud_share, 60, 12).astype(np.uint8 if seed % 2 else np.float32)
    assert chip_fault(image, valid, (BAND, BAND), min_valid=0.3) == plainly(image, valid, 0.3)
