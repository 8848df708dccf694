"""What a scene is, and whether it can be one."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from rasterio.io import DatasetReader

from ml.contract import BandStatistics
from ml.faults import Fault, InputRefused, Note, refuse_any
from ml.frozen import Frozen
from ml.geo.areas import HECTARE_M2, pixel_area_ha
from ml.geo.crs import crs_code, degrees_beyond_use
from ml.geo.grid import Grid, grid_of
from ml.geo.raster import refusing_damage
from ml.scenes.bands import band_names
from ml.scenes.sample import WINDOWS_PER_SIDE, Sample, sample_scene
from ml.scenes.source import RasterSource
from ml.scenes.tiff_safety import check_tiff

MIN_PIXELS = 64
_PIXEL_SIDES = (1e-9, 1e6)  # in units of the CRS: degrees, metres or feet
_BEYOND_USE_DEG = 10  # how far a scene may lie outside the area that its CRS was made for


class BandInfo(Frozen):
    """A band. statistics: over a sample of the valid pixels, in physical units."""

    name: str
    dtype: str
    description: str | None
    statistics: BandStatistics


class SceneInfo(Frozen):
    """A scene, as its file and its owner describe it.

    bands: without alpha, which is a mask. nodata: in the file's own numbers, None if no pixel can equal it.
    crs: WKT2; crs_code: like "EPSG:32649", None if no authority has it. transform: a, b, c, d, e, f of
    x = a col + b row + c, y = d col + e row + f. bounds: left, bottom, right, top in the CRS.
    bbox: west, south, east, north in degrees of WGS 84. footprint: GeoJSON in WGS 84.
    gsd: ground sampling distance at the centre in metres, the side of a square as large as a pixel on the ground.
    """

    rows: int
    cols: int
    bands: tuple[BandInfo, ...]
    dtype: str
    nodata: float | None
    crs: str
    crs_code: str | None
    transform: tuple[float, float, float, float, float, float]
    bounds: tuple[float, float, float, float]
    bbox: tuple[float, float, float, float]
    footprint: dict[str, Any]
    gsd: float
    size_bytes: int
    warnings: tuple[Note, ...]


def inspect_scene(
    path: Path,
    *,
    bands: Sequence[str] | None = None,
    nodata: float | None = None,
    windows_per_side: int = WINDOWS_PER_SIDE,
) -> SceneInfo:
    """Read what a GeoTIFF says of itself, and a sample of its pixels.

    bands: the owner's names of the bands, in order. nodata: the owner's, in the file's own numbers.
    windows_per_side: of the sample, at most; at least 2.

    Raises:
        InputRefused: with every fault found. Codes: those of `check_tiff`, missing_crs, unknown_crs,
            missing_georeference, gcps_unsupported, bad_transform, bad_extent, too_small, bad_bands, no_valid_pixels.
    """
    check_tiff(path)
    with refusing_damage("The file cannot be read as a GeoTIFF."), RasterSource(path, nodata) as source:
        grid = checked_grid(source.dataset)
        names, name_notes = band_names(source, bands)
        sample = sample_scene(source, windows_per_side)
        return _describe(path, grid, source, names, sample, (*name_notes, *sample.notes))


def _describe(
    path: Path, grid: Grid, source: RasterSource, names: Sequence[str], sample: Sample, notes: tuple[Note, ...]
) -> SceneInfo:
    each = zip(names, source.descriptions, sample.statistics, strict=True)
    return SceneInfo(
        rows=grid.rows,
        cols=grid.cols,
        bands=tuple(
            BandInfo(name=name, dtype=source.dtype.name, description=text or None, statistics=statistics)
            for name, text, statistics in each
        ),
        dtype=source.dtype.name,
        nodata=None if source.nodata is None else float(source.nodata),
        crs=grid.crs.to_wkt(),
        crs_code=crs_code(grid.crs),
        transform=grid.transform[:6],
        bounds=grid.bounds,
        bbox=grid.bbox(),
        footprint=grid.footprint(),
        gsd=ground_sampling_distance(grid),
        size_bytes=path.stat().st_size,
        warnings=notes,
    )


def ground_sampling_distance(grid: Grid) -> float:
    """Metres: the side of a square as large as the middle pixel of the grid on the ground."""
    area_ha = pixel_area_ha(grid, np.array([grid.rows / 2]), np.array([grid.cols / 2]))
    return float(np.sqrt(area_ha[0] * HECTARE_M2))


def checked_grid(dataset: DatasetReader) -> Grid:
    """The grid of an open raster, if it lies somewhere on the Earth.

    Raises:
        InputRefused: with all of missing_crs, unknown_crs, missing_georeference, gcps_unsupported, bad_transform,
            too_small; or bad_extent.
    """
    faults = list(_placement_faults(dataset))
    try:
        grid = grid_of(dataset) if dataset.crs else None
    except InputRefused as refused:
        raise InputRefused(*faults, *refused.faults) from None
    if grid is None or faults:
        raise InputRefused(*faults)
    refuse_any(extent_faults(grid))
    return grid


def _placement_faults(dataset: DatasetReader) -> Iterator[Fault]:
    transform: Affine = dataset.transform
    if dataset.gcps[0]:
        detail = f"The image is placed by {len(dataset.gcps[0])} ground control points, not by a grid."
        yield Fault("gcps_unsupported", detail, "Warp it to a grid first: gdalwarp -t_srs EPSG:... in.tif out.tif")
    elif transform == Affine.identity():
        hint = "Export it as a GeoTIFF with its georeference, or set one: gdal_translate -a_ullr ... -a_srs EPSG:..."
        yield Fault("missing_georeference", "The file does not say where its pixels lie.", hint)
    elif not _usable_transform(transform):
        detail = f"The size or the place of its pixels is impossible: {tuple(transform[:6])}."
        yield Fault("bad_transform", detail, "Export the image again with its georeference.")
    if not dataset.crs and not dataset.gcps[0]:
        hint = "Declare it in the file: gdal_translate -a_srs EPSG:... in.tif out.tif"
        yield Fault("missing_crs", "The file names no coordinate reference system.", hint)
    if dataset.height * dataset.width < MIN_PIXELS:
        detail = f"The image has {dataset.height} x {dataset.width} px; a scene has at least {MIN_PIXELS}."
        yield Fault("too_small", detail, "Send a larger image.")


def _usable_transform(transform: Affine) -> bool:
    a, b, c, d, e, f = transform[:6]
    if not np.isfinite((a, b, c, d, e, f)).all():
        return False
    sides = np.hypot(a, d), np.hypot(b, e)
    right_size = all(_PIXEL_SIDES[0] <= side <= _PIXEL_SIDES[1] for side in sides)
    return right_size and abs(transform.determinant) > 1e-6 * sides[0] * sides[1]


def extent_faults(grid: Grid) -> Iterator[Fault]:
    """bad_extent, if the grid leaves the Earth or lies far from where its CRS holds."""
    outline = grid.outline_wgs84
    hint = "The CRS and the coordinates do not belong together: set the right CRS with gdal_translate -a_srs EPSG:..."
    bounds = ", ".join(f"{side:.6g}" for side in grid.bounds)
    lon, lat = outline.T
    on_earth = np.isfinite(outline).all() and (np.abs(lat) <= 90 + 1e-6).all() and (np.abs(lon) <= 540).all()
    if not on_earth or np.ptp(lon) > 360 + 1e-6:
        yield Fault("bad_extent", f"In {grid.crs.name} the bounds {bounds} are no place on the Earth.", hint)
    elif degrees_beyond_use(grid.crs, lon.mean(), lat.mean()) > _BEYOND_USE_DEG:
        yield Fault("bad_extent", f"The bounds {bounds} lie far from where {grid.crs.name} is used.", hint)
