import numpy as np
import pytest

from ml.geo.raster import open_raster
from ml.geo.windows import Window, blocks, blocks_by_tile, side_within
from tests.ml.conftest import MakeScene


def test_blocks_come_row_by_row() -> None:
    assert list(blocks(3, 5, block_px=4)) == [Window(0, 0, 3, 4), Window(0, 4, 3, 1)]


def test_within_counts_from_the_corner_of_the_outer_window() -> None:
    inner, outer = Window(10, 20, 3, 4), Window(8, 15, 9, 9)
    scene = np.arange(900).reshape(30, 30)
    assert (scene[outer.slices][inner.within(outer).slices] == scene[inner.slices]).all()


def test_the_window_for_rasterio_has_the_same_pixels(make_scene: MakeScene) -> None:
    image = np.arange(900, dtype=np.uint16).reshape(1, 30, 30)
    window = Window(3, 17, 5, 11)
    with open_raster(make_scene(image)) as dataset:
        assert (dataset.read(window=window.rasterio) == image[:, *window.slices]).all()


@pytest.mark.parametrize("wrong", [(-1, 0, 1, 1), (0, -1, 1, 1), (0, 0, 0, 1), (0, 0, 1, 0)])
def test_an_impossible_window_cannot_be_built(wrong: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError):
        Window(*wrong)


@pytest.mark.parametrize(("most_bytes", "pixel_bytes", "side"), [(1 << 20, 1, 512), (1 << 20, 8, 256), (1, 99, 1)])
def test_a_square_is_halved_until_its_pixels_fit(most_bytes: int, pixel_bytes: int, side: int) -> None:
    assert side_within(most_bytes, pixel_bytes, 512) == side


def test_blocks_of_one_tile_come_after_each_other_and_cover_the_scene_once() -> None:
    windows = list(blocks_by_tile(70, 50, block_px=10, tile_px=40))
    tiles = [(window.row // 40, window.col // 40) for window in windows]
    assert sorted(tiles) == tiles
    assert sorted(windows, key=lambda window: (window.row, window.col)) == list(blocks(70, 50, block_px=10))
