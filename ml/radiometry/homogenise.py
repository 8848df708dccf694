"""Homogenisation of scenes while they are read, so that training and prediction see only homogenised pixels."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from rasterio.io import DatasetReader

from ml.contract import BandRadiometry, Homogenise, Method, SceneRadiometry
from ml.data import SceneFile
from ml.geo.watched import Through, unwatched
from ml.geo.windows import Window
from ml.radiometry.band_maps import BandMap, histogram, robust, wallis
from ml.radiometry.measure import measure
from ml.scenes.source import RasterSource


class HomogenisedSource:
    """A `Source` that returns the pixels of another source after homogenisation.

    The bits of a pixel do not depend on the window in which it is read.

    source: Scene to homogenise.
    homogenise: Method and reference.
    radiometry: Radiometry of the scene, as `measure` returns it.
    dtype: float32, whatever the type of the file.

    Raises:
        ValueError: Scene and reference have different numbers of bands, or the method is "wallis" and the radiometry
            has no local statistics.
    """

    def __init__(self, source: RasterSource, homogenise: Homogenise, radiometry: SceneRadiometry) -> None:
        self._source = source
        self.bands, self.rows, self.cols = source.bands, source.rows, source.cols
        self.dtype = np.dtype(np.float32)
        self._maps = _maps(homogenise, radiometry)
        if len(self._maps) != self.bands:
            raise ValueError(f"the scene has {self.bands} bands, its radiometry {len(self._maps)}")

    @property
    def dataset(self) -> DatasetReader:
        """Open file, for everything except pixels: CRS, transform, blocks."""
        return self._source.dataset

    def read_compact(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return what `read` returns: homogenised pixels have no smaller type."""
        return self.read(window)

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return image and validity in a window.

        The image has the shape (bands, rows, cols), float32, in the reference's units, with 0 where pixels are not
        valid. The validity has the shape (rows, cols), bool.

        Raises:
            ValueError: The window leaves the scene.
            InputRefused: corrupt_tiff if the file is damaged in the window.
        """
        image, valid = self._source.read(window)
        if valid.any():
            for band, change in enumerate(self._maps):
                image[band] = np.where(valid, change(image[band], window), 0)
        return image, valid


def flat_bands(homogenise: Homogenise, scene: SceneRadiometry) -> list[int]:
    """The numbers, from 1, of the bands whose contrast the method cannot measure, so that it only shifts them."""
    pairs = enumerate(zip(scene.bands, homogenise.reference, strict=True), 1)
    return [number for number, (band, reference) in pairs if _is_flat(homogenise.method, band, reference)]


def _is_flat(method: Method, band: BandRadiometry, reference: BandRadiometry) -> bool:
    if method == "robust":
        return not (band.mad and reference.mad)
    return band.quantiles[0] == band.quantiles[-1] or reference.quantiles[0] == reference.quantiles[-1]


SceneSource = RasterSource | HomogenisedSource


@contextmanager
def open_homogenised(
    scene: SceneFile, homogenise: Homogenise | None, through: Through = unwatched
) -> Iterator[SceneSource]:
    """Open a scene for reading by one thread; its pixels are homogenised unless `homogenise` is None.

    If `scene.radiometry` lacks what the method needs, the whole scene is measured first, and `through`
    reports its progress.

    Raises:
        InputRefused: corrupt_tiff if the file is damaged; no_valid_pixels if a scene without valid pixels is measured.
    """
    with RasterSource(scene.path, scene.nodata, scene.bands) as source:
        if homogenise is None:
            yield source
        else:
            yield HomogenisedSource(source, homogenise, _radiometry(scene, source, homogenise.method, through))


def contrast(scene: SceneFile, homogenise: Homogenise) -> float | None:
    """The contrast of a scene before homogenisation as a share of that of the reference: the median over its bands.

    Contrast is what the method brings to the reference: the MAD for "robust", the range between the quartiles for
    "histogram", the standard deviation for "wallis". None if no band of the reference has a contrast.

    Raises:
        InputRefused: as `open_homogenised`.
    """
    with RasterSource(scene.path, scene.nodata, scene.bands) as source:
        measured = _radiometry(scene, source, homogenise.method)
    bands = zip(measured.bands, homogenise.reference, strict=True)
    pairs = [tuple(_contrast(homogenise.method, band) for band in pair) for pair in bands]
    shares = [own / reference for own, reference in pairs if reference]
    return float(np.median(shares)) if shares else None


def _contrast(method: Method, band: BandRadiometry) -> float:
    match method:
        case "robust":
            return band.mad
        case "histogram":
            return band.quantiles[75] - band.quantiles[25]
        case "wallis":
            return band.std


def _radiometry(
    scene: SceneFile, source: RasterSource, method: Method, through: Through = unwatched
) -> SceneRadiometry:
    known = scene.radiometry
    if known is None or (method == "wallis" and known.local is None):
        return measure(source, method, through)
    return known


def _maps(homogenise: Homogenise, scene: SceneRadiometry) -> list[BandMap]:
    """Return the map of each band."""
    if homogenise.method == "wallis":
        return _wallis_maps(homogenise, scene)
    make = robust if homogenise.method == "robust" else histogram
    return [make(*bands) for bands in zip(scene.bands, homogenise.reference, strict=True)]


def _wallis_maps(homogenise: Homogenise, scene: SceneRadiometry) -> list[BandMap]:
    local = scene.local
    if local is None:
        raise ValueError("the local statistics of the scene were not measured")
    shape = len(scene.bands), local.rows, local.cols
    means, stds = np.array(local.mean).reshape(shape), np.array(local.std).reshape(shape)
    each = zip(means, stds, homogenise.reference, strict=True)
    return [wallis(mean, std, local.cell_px, reference) for mean, std, reference in each]
