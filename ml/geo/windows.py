"""Pixel rectangles: the windows a scene is cut into, and the margins that make tiled prediction exact."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from rasterio.windows import Window as RasterioWindow


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels: rows [row, row + rows) and columns [col, col + cols), never empty."""

    row: int
    col: int
    rows: int
    cols: int

    def __post_init__(self) -> None:
        if self.row < 0 or self.col < 0 or self.rows < 1 or self.cols < 1:
            raise ValueError(f"no window of a scene: {self}")

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the window in the last two axes of an array: `array[..., *window.slices]`."""
        return slice(self.row, self.row + self.rows), slice(self.col, self.col + self.cols)

    @property
    def rasterio(self) -> RasterioWindow:
        """The same rectangle for rasterio, which counts columns first: `dataset.read(window=window.rasterio)`."""
        return RasterioWindow(self.col, self.row, self.cols, self.rows)

    def clip(self, rows: int, cols: int) -> Self:
        """The part inside a scene of `rows` x `cols`; ValueError if there is none."""
        return type(self)(self.row, self.col, min(self.rows, rows - self.row), min(self.cols, cols - self.col))

    def within(self, outer: "Window") -> "Window":
        """The same pixels, counted from the corner of `outer`."""
        return Window(self.row - outer.row, self.col - outer.col, self.rows, self.cols)


def margin(depth: int) -> int:
    """Pixels that a window needs around it for a padded U-Net with `depth` poolings.

    With two 3x3 convolutions a level, padding reaches at most 6 * 2^depth - 2 pixels into the result.
    """
    return 6 << depth


def ceil_to(value: int, step: int) -> int:
    """The smallest multiple of `step` that is at least `value`."""
    return -(-value // step) * step


def blocks(rows: int, cols: int, *, block_px: int) -> Iterator[Window]:
    """Every pixel of a scene exactly once, in squares of `block_px` from the origin, row by row."""
    for row in range(0, rows, block_px):
        for col in range(0, cols, block_px):
            yield Window(row, col, block_px, block_px).clip(rows, cols)
