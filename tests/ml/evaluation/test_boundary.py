"""Boundary bands agree with counts by hand and with the definition, which compares pairs of pixels."""

import numpy as np
import pytest

from ml.evaluation.boundary import STRIP_ROWS, boundary_counts


def field(rows: slice, cols: slice, shape: tuple[int, int] = (9, 9)) -> np.ndarray:
    mask = np.zeros(shape, dtype=np.uint8)
    mask[rows, cols] = 1
    return mask


def counted_by_pairs(truth: np.ndarray, predicted: np.ndarray, pixel_m: tuple[float, float], d: float) -> list[int]:
    """The counts by the definition, from the distances of all pairs of pixels."""
    counted = (truth != 255) & (predicted != 255)
    places = np.argwhere(counted) * pixel_m
    far = np.linalg.norm(places[:, None] - places[None], axis=2)
    t, p = (
        [(far[i][m[counted] != 1] <= d + 1e-9).any() for i in range(len(places))] & (m[counted] == 1)
        for m in (truth, predicted)
    )
    return [(t & p).sum(), (t | p).sum()]


def test_the_band_of_a_square_field_is_its_rim() -> None:
    truth = field(np.s_[2:7], np.s_[2:7])
    assert boundary_counts(truth, truth, (1, 1), 1, 1) == (16, 16)
    assert boundary_counts(truth, truth, (1, 1), 2, 1) == (24, 24)
    assert boundary_counts(truth, truth, (1, 1), 0.9, 1) == (0, 0), "no neighbour is within 0.9 m"


def test_the_bands_of_a_field_shifted_by_a_pixel_agree_with_a_count_by_hand() -> None:
    truth, predicted = field(np.s_[2:7], np.s_[2:7]), field(np.s_[2:7], np.s_[3:8])
    # the rims of 16 px share 4 px of the upper and 4 px of the lower edge; their sides lie beside each other
    assert boundary_counts(truth, predicted, (1, 1), 1, 1) == (8, 24)


def test_distances_are_in_metres_along_each_axis() -> None:
    truth = field(np.s_[2:7], np.s_[2:7])
    # a distance of 1.5 m reaches one row of 1 m, but no column of 2 m
    assert boundary_counts(truth, truth, (1, 2), 1.5, 1) == (10, 10)
    # 3 x 0.1 m count as 0.3 m in spite of rounding
    assert boundary_counts(truth, truth, (0.1, 0.1), 0.3, 1) == (25, 25)


def test_a_class_without_a_boundary_in_the_truth_has_none_to_follow() -> None:
    predicted = field(np.s_[0:5], np.s_[0:9])
    for value in (0, 1):
        assert boundary_counts(np.full_like(predicted, value), predicted, (1, 1), 1, 1) == (0, 0)
    assert boundary_counts(predicted, np.full_like(predicted, 0), (1, 1), 1, 1) == (0, 9), "nothing found is wrong"


def test_the_edge_of_the_scene_and_unlabelled_pixels_make_no_boundary() -> None:
    truth = field(np.s_[0:5], np.s_[0:9])
    assert boundary_counts(truth, truth, (1, 1), 1, 1) == (9, 9)
    truth[5, :4] = 255
    assert boundary_counts(truth, field(np.s_[0:5], np.s_[0:9]), (1, 1), 1, 1) == (5, 5)
    assert boundary_counts(np.full_like(truth, 1), np.full_like(truth, 1), (1, 1), 1, 1) == (0, 0)


@pytest.mark.parametrize("value", [0, 2])
def test_pixels_of_any_other_labelled_class_make_a_boundary(value: int) -> None:
    mask = np.array([[0, 0, 1, 1, 2, 2]], dtype=np.uint8)
    assert boundary_counts(mask, mask, (1, 1), 1, value) == (1, 1)
    assert boundary_counts(mask, mask, (1, 1), 1, 1) == (2, 2)


@pytest.mark.parametrize("d", [1.0, 2.3, 4.0])
def test_counts_of_random_maps_agree_with_the_definition(d: float) -> None:
    rng = np.random.default_rng(0)
    truth, predicted = (np.kron(rng.integers(2, size=(4, 5)), np.ones((5, 5))).astype(np.uint8) for _ in range(2))
    truth[rng.random(truth.shape) < 0.1] = 255
    assert list(boundary_counts(truth, predicted, (0.8, 1.1), d, 1)) == counted_by_pairs(
        truth, predicted, (0.8, 1.1), d
    )


@pytest.mark.parametrize("above", [2, 7])
def test_a_field_across_two_strips_is_counted_as_a_whole(above: int) -> None:
    shape = (STRIP_ROWS + 40, 12)
    across_two_strips = field(np.s_[STRIP_ROWS - above : STRIP_ROWS - above + 9], np.s_[0:12], shape)
    # the field has 9 rows; all but the middle 3 are within 3 m of its upper or lower edge
    assert boundary_counts(across_two_strips, across_two_strips, (1, 1), 3, 1) == (6 * 12, 6 * 12)
