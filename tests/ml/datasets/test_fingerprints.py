from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.datasets.fingerprints import ONE_IN, Prints, fingerprints, shared_prints
from ml.scenes.source import RasterSource
from tests.ml.conftest import MakeScene

PrintsOf = Callable[..., Prints]
RNG = np.random.default_rng(1)


@pytest.fixture
def prints_of(make_scene: MakeScene) -> PrintsOf:
    def prints(image: np.ndarray, **options: Any) -> Prints:
        with RasterSource(make_scene(image, **options)) as source:
            return fingerprints(source)

    return prints


def noise(rows: int, cols: int, dtype: str = "uint16") -> np.ndarray:
    return RNG.integers(1, 200, (2, rows, cols)).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_about_one_neighbourhood_in_a_thousand_is_a_fingerprint(prints_of: PrintsOf, dtype: str) -> None:
    expected = 585 * 685 / ONE_IN
    assert len(prints_of(noise(600, 700, dtype))) == pytest.approx(expected, abs=4 * expected**0.5)


def test_a_copy_is_recognised_at_any_position(prints_of: PrintsOf) -> None:
    """The copy has the fingerprints of all neighbourhoods that lie in it as a whole, also across borders of blocks."""
    copy = noise(300, 300)
    other = noise(700, 650)
    other[:, 333:633, 301:601] = copy
    alone, within = prints_of(copy), prints_of(other)
    assert len(alone) > 40 and np.isin(alone, within).all()
    assert len(np.intersect1d(within, prints_of(noise(700, 650)))) == 0


def test_images_that_differ_in_one_band_share_no_fingerprint(prints_of: PrintsOf) -> None:
    image = noise(300, 300)
    other = image.copy()
    other[1] += 1
    assert len(np.intersect1d(prints_of(image), prints_of(other))) == 0


def test_content_that_a_scene_repeats_has_no_fingerprint(prints_of: PrintsOf) -> None:
    pattern = noise(64, 64)
    assert len(prints_of(np.tile(pattern, (1, 12, 12)))) == 0
    assert len(prints_of(np.full((2, 600, 600), 9, dtype=np.uint16))) == 0


def test_pixels_that_are_not_valid_have_no_fingerprint(prints_of: PrintsOf) -> None:
    image = noise(300, 300)
    whole = prints_of(image)
    image[:, 140:150] = 0
    both = np.concatenate([prints_of(image[:, :140]), prints_of(image[:, 150:])])
    assert np.array_equal(prints_of(image, nodata=0), np.sort(both)) and len(both) < len(whole)


def test_a_scene_smaller_than_a_neighbourhood_has_no_fingerprint(prints_of: PrintsOf) -> None:
    assert len(prints_of(noise(15, 100))) == 0


@given(st.lists(st.sets(st.integers(0, 30)), min_size=1, max_size=6))
def test_shared_fingerprints_are_counted(scenes: list[set[int]]) -> None:
    arrays = [np.array(sorted(scene), dtype=np.uint64) for scene in scenes]
    pairs = combinations(range(len(scenes)), 2)
    expected = {(a, b): len(scenes[a] & scenes[b]) for a, b in pairs if scenes[a] & scenes[b]}
    assert shared_prints(arrays) == expected
