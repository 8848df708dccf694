import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.geo.windows import Window, blocks, margin, strips

SIZES = st.integers(1, 300)


@settings(deadline=None)
@given(rows=SIZES, cols=SIZES, window_px=st.integers(16, 200), depth=st.integers(0, 5))
def test_cores_cover_every_pixel_exactly_once(rows: int, cols: int, window_px: int, depth: int) -> None:
    times = np.zeros((rows, cols), dtype=int)
    for strip in strips(rows, cols, window_px=window_px, margin=margin(depth), step=2**depth):
        for tile in strip:
            times[tile.core.slices] += 1
    assert (times == 1).all()


@settings(deadline=None)
@given(rows=SIZES, cols=SIZES, window_px=st.integers(16, 200), depth=st.integers(0, 5))
def test_read_windows_lie_on_the_grid_of_the_net_and_hold_their_margin(
    rows: int, cols: int, window_px: int, depth: int
) -> None:
    step, reach = 2**depth, margin(depth)
    padded_rows, padded_cols = -(-rows // step) * step, -(-cols // step) * step
    for strip in strips(rows, cols, window_px=window_px, margin=reach, step=step):
        for tile in strip:
            core, read = tile.core, tile.read
            assert {side % step for side in (read.row, read.col, read.rows, read.cols)} == {0}
            assert read.row == max(0, core.row - reach) and read.col == max(0, core.col - reach)
            assert read.row + read.rows >= min(padded_rows, core.row + core.rows + reach)
            assert read.col + read.cols >= min(padded_cols, core.col + core.cols + reach)
            assert read.row + read.rows <= padded_rows and read.col + read.cols <= padded_cols


def test_a_scene_smaller_than_a_window_is_one_tile() -> None:
    ((tile,),) = strips(5, 7, window_px=64, margin=12, step=2)
    assert tile.core == Window(0, 0, 5, 7)
    assert tile.read == Window(0, 0, 6, 8)


def test_blocks_come_row_by_row() -> None:
    assert list(blocks(3, 5, block_px=4)) == [Window(0, 0, 3, 4), Window(0, 4, 3, 1)]


def test_a_window_counts_from_the_corner_of_another() -> None:
    inner, outer = Window(10, 20, 3, 4), Window(8, 15, 9, 9)
    scene = np.arange(900).reshape(30, 30)
    assert (scene[outer.slices][inner.within(outer).slices] == scene[inner.slices]).all()


@pytest.mark.parametrize("wrong", [(-1, 0, 1, 1), (0, -1, 1, 1), (0, 0, 0, 1), (0, 0, 1, 0)])
def test_an_impossible_window_cannot_be_built(wrong: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError):
        Window(*wrong)
