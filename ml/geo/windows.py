"""Windows of a scene, and the margin around a window that makes tiled prediction exact."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from rasterio.windows import Window as RasterioWindow


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels in a scene; it is never empty.

    row: Row of the upper left pixel.
    col: Column of the upper left pixel.
    rows: Height in pixels.
    cols: Width in pixels.

    Raises:
        ValueError: The window is empty, or its row or column is negative.
    """

    row: int
    col: int
    rows: int
    cols: int

    def __post_init__(self) -> None:
        if self.row < 0 or self.col < 0 or self.rows < 1 or self.cols < 1:
            raise ValueError(f"impossible window: {self}")

    @property
    def slices(self) -> tuple[slice, slice]:
        """Slices of the rows and columns, which select the window in an array: `array[..., *window.slices]`."""
        return slice(self.row, self.row + self.rows), slice(self.col, self.col + self.cols)

    @property
    def rasterio(self) -> RasterioWindow:
        """Window as rasterio's type, which has columns first: `dataset.read(window=window.rasterio)`."""
        return RasterioWindow(self.col, self.row, self.cols, self.rows)

    def clip(self, rows: int, cols: int) -> Self:
        """Return the intersection with a scene of `rows` x `cols` pixels.

        Raises:
            ValueError: The window lies outside the scene.
        """
        return type(self)(self.row, self.col, min(self.rows, rows - self.row), min(self.cols, cols - self.col))

    def within(self, outer: "Window") -> "Window":
        """Return the same rectangle with row and column counted from the corner of `outer`.

        Raises:
            ValueError: The window begins above or to the left of `outer`.
        """
        return Window(self.row - outer.row, self.col - outer.col, self.rows, self.cols)


def margin(depth: int) -> int:
    """Return the margin in pixels that a padded U-Net with `depth` poolings needs around a window.

    With two 3x3 convolutions per level, padding changes at most 6 * 2^depth - 2 pixels at each edge of the result.
    """
    return 6 << depth


def ceil_to(value: int, step: int) -> int:
    """Return the smallest multiple of `step` that is at least `value`."""
    return -(-value // step) * step


def side_within(most_bytes: int, pixel_bytes: int, most: int) -> int:
    """Return the side of a square: `most`, halved until its pixels have at most `most_bytes`."""
    while most > 1 and most**2 * pixel_bytes > most_bytes:
        most //= 2
    return most


def blocks(rows: int, cols: int, *, block_px: int) -> Iterator[Window]:
    """Yield windows that cover a scene without overlap: squares of `block_px` pixels from the origin, row by row.

    Windows at the right and lower edges are smaller if the scene ends there.
    """
    for row in range(0, rows, block_px):
        for col in range(0, cols, block_px):
            yield Window(row, col, block_px, block_px).clip(rows, cols)


def blocks_by_tile(rows: int, cols: int, *, block_px: int, tile_px: int) -> Iterator[Window]:
    """Yield the windows of `blocks`, but those inside one square of `tile_px` pixels after each other.

    A file with large tiles is read in this order so that each tile is decoded once and kept only meanwhile.

    tile_px: A multiple of `block_px`.
    """
    for tile in blocks(rows, cols, block_px=tile_px):
        for part in blocks(tile.rows, tile.cols, block_px=block_px):
            yield Window(tile.row + part.row, tile.col + part.col, part.rows, part.cols)
