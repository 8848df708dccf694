"""Files of the finished rows of a map, from which an interrupted prediction resumes."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


class StripFile:
    """A file of a uint8 raster without a header, to which strips of rows are appended.

    The layers of a row follow each other in the file. A row that a crash left incomplete is overwritten.

    path: Path of the file, which is created if it does not exist.
    rows: Number of complete rows in the file.
    """

    def __init__(self, path: Path, layers: int, cols: int) -> None:
        path.touch()
        self.path, self._row_shape, self._row_bytes = path, (layers, cols), layers * cols
        self.rows = path.stat().st_size // self._row_bytes

    def write(self, row: int, strip: Bytes) -> None:
        """Write `strip` at `row` and flush it to disk; rows that were there and below are removed.

        row: First row of the strip in the file, at most `self.rows`.
        strip: Pixels, uint8 (layers, rows, cols).

        Raises:
            ValueError: `row` is larger than `self.rows`.
        """
        if row > self.rows:
            raise ValueError(f"a strip at row {row} would leave a gap after {self.rows} rows")
        with self.path.open("r+b") as file:
            file.truncate(row * self._row_bytes)
            file.seek(0, os.SEEK_END)
            file.write(np.ascontiguousarray(strip.transpose(1, 0, 2)).data)
            file.flush()
            os.fsync(file.fileno())
        self.rows = row + strip.shape[1]

    def layer(self, index: int) -> "StripLayer":
        """Return a layer of the raster; its pixels are read from the file only when they are indexed."""
        return StripLayer(self.path, self.rows, self._row_shape, index)


@contextmanager
def joined(parts: Sequence[Path], folder: Path) -> Iterator[Path]:
    """Join the strip files of several parts of a map to one file, and yield its path.

    parts: Strip files, from the top of the map down. A single one is used as it is.
    folder: Folder of the joined file, which is removed at the end of the context.
    """
    if len(parts) == 1:
        yield parts[0]
        return
    whole = folder / "joined"
    with whole.open("wb") as file:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, file)
    yield whole
    whole.unlink()


class StripLayer:
    """A finished layer of a strip file, uint8 (rows, cols); only the pixels that are indexed are read into memory."""

    def __init__(self, path: Path, rows: int, row_shape: tuple[int, int], index: int) -> None:
        self.shape = rows, row_shape[1]
        self._path, self._row_shape, self._index = path, row_shape, index

    def __getitem__(self, window: tuple[slice, slice]) -> Bytes:
        """Read the pixels of `window`, a pair of slices of rows and columns, as a new array."""
        # mapped again each time, because mapped pages count as memory of this process and would grow with the map
        whole = np.memmap(self._path, np.uint8, "r", shape=(self.shape[0], *self._row_shape))
        return np.array(whole[window[0], self._index, window[1]])
