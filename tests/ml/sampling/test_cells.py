"""Strata that are too small for one lost answer are merged, and each pixel stays in one stratum."""

from hypothesis import given
from hypothesis import strategies as st

from ml.sampling.cells import LEAST_PIXELS, Cell, Group, cells_of, merged_away, strata_of


def cells(pixels: dict[tuple[int, int], int]) -> tuple[Cell, ...]:
    return cells_of(pixels, {key: 0.01 * count for key, count in pixels.items()})


def keys(groups: tuple[Group, ...]) -> list[tuple[int, list[tuple[int, int]]]]:
    return [(group.zone, [cell.key for cell in group.cells]) for group in groups]


def test_a_class_of_few_pixels_becomes_part_of_the_largest_stratum() -> None:
    found = strata_of(cells({(0, 0): 500, (0, 1): 9, (0, 2): 90}))
    assert keys(found) == [(0, [(0, 0), (0, 1)]), (0, [(0, 2)])]
    assert found[0].values == [0, 1]
    assert [cell.key for cell in merged_away(found)] == [(0, 1)]


def test_classes_with_enough_pixels_stay() -> None:
    assert keys(strata_of(cells({(0, 0): 500, (0, 1): LEAST_PIXELS, (0, 2): 0}))) == [(0, [(0, 0)]), (0, [(0, 1)])]


def test_a_zone_of_few_pixels_becomes_part_of_the_ground_outside() -> None:
    found = strata_of(cells({(0, 0): 40, (1, 0): 800, (1, 1): 60, (2, 0): 3, (2, 1): 4}))
    assert keys(found) == [(0, [(0, 0), (2, 0), (2, 1)]), (1, [(1, 0)]), (1, [(1, 1)])]


def test_hardly_any_ground_outside_becomes_part_of_the_largest_stratum() -> None:
    found = strata_of(cells({(0, 0): 2, (1, 0): 30, (1, 1): 60, (2, 1): 1, (3, 0): 50}))
    assert keys(found) == [(1, [(1, 0)]), (1, [(1, 1), (0, 0), (2, 1)]), (3, [(3, 0)])]


def test_a_map_of_a_few_pixels_is_one_stratum() -> None:
    assert keys(strata_of(cells({(1, 0): 3, (2, 1): 1}))) == [(0, [(1, 0), (2, 1)])]


@given(st.dictionaries(st.tuples(st.integers(0, 4), st.integers(0, 3)), st.integers(0, 40), min_size=1))
def test_each_pixel_is_in_one_stratum_that_is_large_enough(pixels: dict[tuple[int, int], int]) -> None:
    every = cells(pixels)
    found = strata_of(every)
    assert sorted(cell.key for group in found for cell in group.cells) == sorted(cell.key for cell in every)
    if sum(pixels.values()) >= LEAST_PIXELS:
        assert all(group.pixels >= LEAST_PIXELS for group in found)
    assert {cell.zone for group in found if group.zone for cell in group.cells} >= {g.zone for g in found if g.zone}
