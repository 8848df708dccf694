"""Rows of a map as they are finished, on disk: what a prediction resumes from."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


class StripFile:
    """A headerless uint8 raster that grows downwards; of each row all layers, one after the other.

    rows: whole rows that it holds, on the disk. What a crash cut off is written over.
    """

    def __init__(self, path: Path, layers: int, cols: int) -> None:
        path.touch()
        self.path, self._row_shape, self._row_bytes = path, (layers, cols), layers * cols
        self.rows = path.stat().st_size // self._row_bytes

    def write(self, row: int, strip: Bytes) -> None:
        """Put `strip`, (layers, rows, cols), at `row`, at most `self.rows`; what stood there and below is gone."""
        if row > self.rows:
            raise ValueError(f"a strip at row {row} leaves a gap after {self.rows} rows")
        with self.path.open("r+b") as file:
            file.truncate(row * self._row_bytes)
            file.seek(0, os.SEEK_END)
            file.write(np.ascontiguousarray(strip.transpose(1, 0, 2)).data)
            file.flush()
            os.fsync(file.fileno())
        self.rows = row + strip.shape[1]

    def layer(self, index: int) -> "StripLayer":
        """One layer, read only as it is looked at."""
        return StripLayer(self.path, self.rows, self._row_shape, index)


@contextmanager
def joined(parts: Sequence[Path], folder: Path) -> Iterator[Path]:
    """Several files of strips, from the top down, as one, which lies in `folder` for the length of the block."""
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
    """A finished layer, (rows, cols) uint8, of which a window lies in memory only as long as it is used."""

    def __init__(self, path: Path, rows: int, row_shape: tuple[int, int], index: int) -> None:
        self.shape = rows, row_shape[1]
        self._path, self._row_shape, self._index = path, row_shape, index

    def __getitem__(self, window: tuple[slice, slice]) -> Bytes:
        """The pixels of `window`."""
        # mapped anew each time: pages that stay mapped would count as this process's memory, and grow with the map
        whole = np.memmap(self._path, np.uint8, "r", shape=(self.shape[0], *self._row_shape))
        return np.array(whole[window[0], self._index, window[1]])
