"""Pixels of a scene by windows, with the truth about which of them are valid."""

from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader

from ml.geo.raster import open_raster, refusing_damage
from ml.geo.windows import Window
from ml.scenes.tiff_directories import nodata_text

LOWEST = -3e38  # ESRI's software writes the lowest float32 where there is no data, and declares nothing


class Source(Protocol):
    """Anything that hands out pixels by windows.

    `read` gives the image, float32 (bands, rows, cols) in physical units and 0 where not valid,
    and valid, bool (rows, cols). The window lies inside the scene.
    """

    bands: int
    rows: int
    cols: int

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]: ...


class RasterSource(AbstractContextManager["RasterSource"]):
    """A GeoTIFF as a `Source`; a context manager, for one thread only.

    Scale and offset of the file are applied here, once. Alpha is a mask, not a band. A pixel is not valid where the
    internal mask or alpha is 0, where all bands equal nodata, or where any band is NaN, infinite or at most -3e38.

    nodata: what the scene's owner declared, in the file's own numbers; else what the file declares.
    """

    def __init__(self, path: Path, nodata: float | None = None) -> None:
        self._dataset = open_raster(path)
        interpretation = self._dataset.colorinterp
        self.indexes = [i for i, color in enumerate(interpretation, 1) if color != ColorInterp.alpha]
        self._alphas = [i for i, color in enumerate(interpretation, 1) if color == ColorInterp.alpha]
        self.bands, self.rows, self.cols = len(self.indexes), self._dataset.height, self._dataset.width
        self.dtype = np.dtype(self._dataset.dtypes[0])
        self.declared_nodata = nodata_text(path) if nodata is None else str(nodata)
        self.nodata = usable_nodata(self.declared_nodata, self.dtype)
        first = np.array(self.indexes) - 1
        self._scales = np.asarray(self._dataset.scales)[first, None, None]
        self._offsets = np.asarray(self._dataset.offsets)[first, None, None]
        self._scaled = bool((self._scales != 1).any() or (self._offsets != 0).any())
        self._masked = MaskFlags.per_dataset in self._dataset.mask_flag_enums[0] and not self._alphas

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._dataset.close()

    @property
    def dataset(self) -> DatasetReader:
        """The open file, for what is not pixels: CRS, transform, blocks."""
        return self._dataset

    @property
    def descriptions(self) -> tuple[str, ...]:
        """What the file says of each band, "" for nothing."""
        try:
            texts = self._dataset.descriptions
        except UnicodeDecodeError:  # GBK, for instance: nobody can tell
            return ("",) * self.bands
        return tuple((texts[index - 1] or "").strip() for index in self.indexes)

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """The image, float32 (bands, rows, cols) in physical units, 0 where not valid; and valid, bool (rows, cols).

        Raises:
            ValueError: the window leaves the scene.
            InputRefused: corrupt_tiff, the file is damaged there.
        """
        raw, valid = self.read_raw(window)
        return self.physical(raw, valid), valid

    def read_raw(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """The image in the file's own type and numbers, (bands, rows, cols), as it stands; and valid."""
        if window.row + window.rows > self.rows or window.col + window.cols > self.cols:
            raise ValueError(f"{window} leaves the scene of {self.rows} x {self.cols} px")
        with refusing_damage(f"The pixels around row {window.row}, column {window.col} cannot be decoded."):
            raw = self._dataset.read(self.indexes, window=window.rasterio)
            return raw, self._valid(raw, window)

    def physical(self, raw: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """raw as float32 with scale and offset applied, 0 where not valid."""
        image = self._float32(raw)
        if not valid.all():
            np.copyto(image, 0, where=~valid)
        return image

    def _float32(self, raw: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is not valid
            image = raw * self._scales + self._offsets if self._scaled else raw
            return image.astype(np.float32)

    def _valid(self, raw: np.ndarray, window: Window) -> np.ndarray:
        valid = np.ones(raw.shape[1:], dtype=bool)
        if self.nodata is not None:
            valid &= (raw != self.nodata).any(axis=0)
        if raw.dtype.kind == "f":
            valid &= (raw > LOWEST).all(axis=0)
        if raw.dtype.kind == "f" or self._scaled:
            valid &= np.isfinite(self._float32(raw)).all(axis=0)
        if self._masked:
            valid &= self._dataset.read_masks(1, window=window.rasterio) > 0
        for alpha in self._alphas:
            valid &= self._dataset.read(alpha, window=window.rasterio) > 0
        return valid


def usable_nodata(text: str, dtype: np.dtype) -> np.generic | None:
    """A declared nodata as a value of `dtype`; None where no pixel can equal it: "", "abc", "-9999" of uint16.

    NaN is None, too: it is never valid, declared or not.
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
