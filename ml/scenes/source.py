"""Reads the pixels of a scene by windows, and which of them are valid."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader

from ml.geo.raster import open_raster, pixel_types, refusing_damage
from ml.geo.windows import Window, ceil_to
from ml.scenes.tiff_directories import nodata_text

MOST = 1e15  # nothing that is measured has such a value, but files have: 9.97e36, 1e20 and -3.4e38 for no data


class Source(Protocol):
    """A scene whose pixels can be read by windows.

    bands: Number of bands, without alpha.
    rows, cols: Size of the scene in pixels.
    """

    bands: int
    rows: int
    cols: int

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return image and validity in a window, which must lie inside the scene.

        The image has the shape (bands, rows, cols), float32, in physical units, with 0 where pixels are not valid.
        The validity has the shape (rows, cols), bool.
        """
        ...

    def read_compact(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return image and validity as `read` does, but the image in a smaller type, if float32 of it is the same.

        Its pixels that are not valid may have any value.
        """
        ...


class RasterSource(AbstractContextManager["RasterSource"]):
    """A GeoTIFF as a `Source`. It is a context manager and may be used by one thread only.

    Scale and offset of the file are applied here and nowhere else. Alpha is a mask, not a band, unless the owner names
    it. A pixel is not valid if the internal mask or alpha is 0, or if any band equals nodata, is NaN or infinite,
    or has a magnitude of at least 1e15 in a type of floats.

    nodata: Nodata value in the file's units, as declared by the owner; None to take the file's value.
    names: Names of the bands, as declared by the owner. If there is one for alpha too, alpha is a band.
    overview: Number of the overview to read instead of the full resolution, where 0 is the largest.
    scales, offsets: Scale and offset of each band in the file. scaled: Whether any of them changes a number.
    """

    def __init__(
        self,
        path: Path,
        nodata: float | None = None,
        names: Sequence[str] | None = None,
        overview: int | None = None,
    ) -> None:
        self._dataset = open_raster(path, overview)
        masks = set() if len(names or ()) == self._dataset.count else {ColorInterp.alpha}
        self.indexes = [i for i, color in enumerate(self._dataset.colorinterp, 1) if color not in masks]
        self._alphas = [i for i in self._dataset.indexes if i not in self.indexes]
        self.bands, self.rows, self.cols = len(self.indexes), self._dataset.height, self._dataset.width
        self.dtype = np.dtype(pixel_types(self._dataset)[0])
        self.declared_nodata = nodata_text(path) if nodata is None else str(nodata)
        self.nodata = usable_nodata(self.declared_nodata, self.dtype)
        first = np.array(self.indexes, dtype=int) - 1
        self.scales, self.offsets = np.asarray(self._dataset.scales)[first], np.asarray(self._dataset.offsets)[first]
        self.scaled = bool((self.scales != 1).any() or (self.offsets != 0).any())
        self._masked = self._dataset.mask_flag_enums[0] == [MaskFlags.per_dataset]  # alpha has one more flag

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._dataset.close()

    @property
    def dataset(self) -> DatasetReader:
        """Open file, for everything except pixels: CRS, transform, blocks."""
        return self._dataset

    @property
    def descriptions(self) -> tuple[str, ...]:
        """Description of each band in the file, as `descriptions` returns it."""
        texts = descriptions(self._dataset)
        return tuple(texts[index - 1] for index in self.indexes)

    def tile_px(self, block_px: int) -> int:
        """Return the multiple of `block_px` that holds one tile of the file; for strips it is `block_px`."""
        rows, cols = self._dataset.block_shapes[0]
        return block_px if cols == self.cols else ceil_to(max(rows, cols), block_px)

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return image and validity in a window.

        The image has the shape (bands, rows, cols), float32, in physical units, with 0 where pixels are not valid.
        The validity has the shape (rows, cols), bool.

        Raises:
            ValueError: The window leaves the scene.
            InputRefused: corrupt_tiff if the file is damaged in the window.
        """
        raw, valid = self.read_raw(window)
        return self.physical(raw, valid), valid

    def read_compact(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return image and validity as `read` does, but integers of one and two bytes as they are stored, if unscaled.

        Pixels of the image that are not valid have any value.
        """
        if self.scaled or self.dtype.kind not in "iu" or self.dtype.itemsize > 2:
            return self.read(window)
        return self.read_raw(window)

    def read_raw(self, window: Window, shape: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the image as stored, (bands, rows, cols) in the file's type and units, and the validity.

        shape: Rows and columns of the result, if it shall have fewer than the window: the others are left out evenly.

        Raises:
            ValueError: The window leaves the scene.
            InputRefused: corrupt_tiff if the file is damaged in the window.
        """
        if window.row + window.rows > self.rows or window.col + window.cols > self.cols:
            raise ValueError(f"{window} leaves the scene of {self.rows} x {self.cols} px")
        with refusing_damage(f"The pixels around row {window.row}, column {window.col} cannot be decoded."):
            raw = self._dataset.read(
                self.indexes,
                window=window.rasterio,
                out_dtype=self.dtype,
                out_shape=(self.bands, *shape) if shape else None,
            )
            return raw, self._valid(raw, window)

    def physical(self, raw: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Return `raw` as float32 with scale and offset applied, and 0 where `valid` is False."""
        image = self._float32(raw)
        if not valid.all():
            np.copyto(image, 0, where=~valid)
        return image

    def exact(self, raw: np.ndarray) -> np.ndarray:
        """Return `raw` with scale and offset applied, in float64 or, without a scale, in the type of the file."""
        with np.errstate(over="ignore", invalid="ignore"):  # pixels that become infinite are not valid
            return raw * self.scales[:, None, None] + self.offsets[:, None, None] if self.scaled else raw

    def _float32(self, raw: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            return self.exact(raw).astype(np.float32)

    def _valid(self, raw: np.ndarray, window: Window) -> np.ndarray:
        valid = np.ones(raw.shape[1:], dtype=bool)
        if self.nodata is not None:
            valid &= (raw != self.nodata).all(axis=0)
            if not valid.any():  # most windows of a sparse scene
                return valid
        if raw.dtype.kind == "f":  # comparisons with NaN are False
            valid &= ((raw > -MOST) & (raw < MOST)).all(axis=0)
        if self.scaled:
            valid &= np.isfinite(self._float32(raw)).all(axis=0)
        if self._masked:
            valid &= self._dataset.read_masks(1, window=window.rasterio, out_shape=valid.shape) > 0
        for alpha in self._alphas:
            valid &= self._dataset.read(alpha, window=window.rasterio, out_shape=valid.shape) > 0
        return valid


def descriptions(dataset: DatasetReader) -> tuple[str, ...]:
    """Return the description of each band of a file; "" if it has none, or if the descriptions are not UTF-8."""
    try:
        texts: tuple[str | None, ...] = dataset.descriptions
    except UnicodeDecodeError:  # the encoding is unknown; it may be GBK
        return ("",) * int(dataset.count)
    return tuple((text or "").strip() for text in texts)


def usable_nodata(text: str, dtype: np.dtype) -> np.generic | None:
    """Return a declared nodata value as `dtype`; None if no pixel can equal it, like "", "abc", or "-9999" for uint16.

    NaN gives None too, because pixels that are NaN are never valid, declared or not.
    """
    try:
        value = float(text)
    except ValueError:
        return None
    if not np.isfinite(value):
        return None
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    fits = limits.min <= value <= limits.max and (dtype.kind == "f" or value.is_integer())
    return dtype.type(value) if fits else None
