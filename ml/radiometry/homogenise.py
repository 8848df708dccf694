"""Scenes brought to one radiometry while they are read: what everything behind sees in their place."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from rasterio.io import DatasetReader

from ml.contract import Homogenise, SceneRadiometry
from ml.data import SceneFile
from ml.geo.windows import Window
from ml.radiometry.band_maps import BandMap, histogram, robust, wallis
from ml.radiometry.measure import measure
from ml.scenes.source import RasterSource


class HomogenisedSource:
    """A `Source` that hands out the pixels of another one, changed to be like those of a reference.

    dtype: float32, whatever the file has. The bits of a pixel do not depend on the window it is read in.

    Raises:
        ValueError: scene and reference differ in their bands, or the method is "wallis" and the scene's local
            statistics were not measured.
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
        """The open file, for what is not pixels: CRS, transform, blocks."""
        return self._source.dataset

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """The image, float32 (bands, rows, cols) in the reference's units, 0 where not valid; and valid.

        Raises:
            ValueError: the window leaves the scene.
            InputRefused: corrupt_tiff, the file is damaged there.
        """
        image, valid = self._source.read(window)
        if valid.any():
            for band, change in enumerate(self._maps):
                image[band] = np.where(valid, change(image[band], window), 0)
        return image, valid


SceneSource = RasterSource | HomogenisedSource


@contextmanager
def open_homogenised(scene: SceneFile, homogenise: Homogenise | None) -> Iterator[SceneSource]:
    """The pixels of a scene, homogenised or, for None, as they are; for one thread only.

    Looks at all of the scene first, if `scene.radiometry` does not hold what the method needs.

    Raises:
        InputRefused: corrupt_tiff; no_valid_pixels, when it had to look.
    """
    with RasterSource(scene.path, scene.nodata) as source:
        if homogenise is None:
            yield source
        else:
            yield HomogenisedSource(source, homogenise, _radiometry(scene, source, homogenise))


def _radiometry(scene: SceneFile, source: RasterSource, homogenise: Homogenise) -> SceneRadiometry:
    known = scene.radiometry
    if known is None or (homogenise.method == "wallis" and known.local is None):
        return measure(source, homogenise.method)
    return known


def _maps(homogenise: Homogenise, scene: SceneRadiometry) -> list[BandMap]:
    """The map of each band."""
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
