"""Checks that a raster lies somewhere on the Earth, and that coordinates lie where their CRS is used."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyproj
from affine import Affine
from rasterio.io import DatasetReader
from shapely.geometry import Polygon

from ml.faults import Fault, InputRefused, Note, refuse_any
from ml.geo.crs import degrees_beyond_use
from ml.geo.crs_codes import check_codes
from ml.geo.grid import Box, Grid, grid_of

MIN_PIXELS = 64
_PIXEL_SIDES = (1e-9, 1e6)  # range of pixel sides in units of the CRS: degrees, metres or feet
_BEYOND_USE_DEG = 10  # how far a scene may lie outside the area of use of its CRS
_NEAR_USE_DEG = 1.5  # images of a UTM zone reach about a degree beyond it
_LIKE_DEGREES = (360.0, 90.0)  # largest x and y, in either direction, that can be longitudes and latitudes


def checked_grid(dataset: DatasetReader) -> Grid:
    """Return the grid of an open raster that lies somewhere on the Earth.

    Raises:
        InputRefused: All faults found of missing_crs, unknown_crs, contradictory_crs, missing_georeference,
            gcps_unsupported, bad_transform and too_small; if there are none of these, bad_extent.
    """
    faults = list(_placement_faults(dataset))
    try:
        grid = grid_of(dataset) if dataset.crs else None
        if grid is not None:
            check_codes(pyproj.CRS.from_wkt(dataset.crs.to_wkt(version="WKT2_2019")))
    except InputRefused as refused:
        raise InputRefused(*faults, *refused.faults) from None
    if grid is None or faults:
        raise InputRefused(*faults)
    refuse_any(_extent_faults(grid))
    return grid


def _placement_faults(dataset: DatasetReader) -> Iterator[Fault]:
    transform: Affine = dataset.transform
    if dataset.gcps[0]:
        detail = f"The image is georeferenced by {len(dataset.gcps[0])} ground control points, not by a grid."
        yield Fault("gcps_unsupported", detail, "Warp it to a grid first: gdalwarp -t_srs EPSG:... in.tif out.tif")
    elif transform == Affine.identity():
        hint = "Export it as a GeoTIFF with its georeference, or set one: gdal_translate -a_ullr ... -a_srs EPSG:..."
        yield Fault("missing_georeference", "The file does not define where its pixels lie.", hint)
    elif not _usable_transform(transform):
        detail = f"The transform of the file is impossible: {tuple(transform[:6])}."
        yield Fault("bad_transform", detail, "Export the image again with its georeference.")
    if not dataset.crs and not dataset.gcps[0]:
        hint = "Set the CRS in the file: gdal_translate -a_srs EPSG:... in.tif out.tif"
        yield Fault("missing_crs", "The file names no coordinate reference system.", hint)
    if dataset.height * dataset.width < MIN_PIXELS:
        detail = f"The image has {dataset.height} x {dataset.width} px; a scene must have at least {MIN_PIXELS} px."
        yield Fault("too_small", detail, "Send a larger image.")


def _usable_transform(transform: Affine) -> bool:
    a, b, c, d, e, f = transform[:6]
    if not np.isfinite((a, b, c, d, e, f)).all():
        return False
    sides = np.hypot(a, d), np.hypot(b, e)
    right_size = all(_PIXEL_SIDES[0] <= side <= _PIXEL_SIDES[1] for side in sides)
    return right_size and abs(transform.determinant) > 1e-6 * sides[0] * sides[1]


def _extent_faults(grid: Grid) -> Iterator[Fault]:
    """Yield bad_extent if the grid leaves the Earth or lies far from the area of use of its CRS."""
    outline = grid.outline_wgs84
    hint = "The coordinates do not fit the CRS. Set the correct CRS with gdal_translate -a_srs EPSG:..."
    bounds = ", ".join(f"{side:.6g}" for side in grid.bounds)
    lon, lat = outline.T
    on_earth = np.isfinite(outline).all() and (np.abs(lat) <= 90 + 1e-6).all() and (np.abs(lon) <= 540).all()
    if not on_earth or np.ptp(lon) > 360 + 1e-6 or Polygon(outline).area == 0:
        yield Fault("bad_extent", f"The bounds {bounds} in {grid.crs.name} are not places on the Earth.", hint)
    elif degrees_beyond_use(grid.crs, lon.mean(), lat.mean()) > _BEYOND_USE_DEG:
        yield Fault("bad_extent", f"The bounds {bounds} lie far from the area of use of {grid.crs.name}.", hint)


def degree_notes(crs: pyproj.CRS, bounds: Sequence[float], what: str) -> tuple[Note, ...]:
    """Return a note if the coordinates in a projected CRS are all so small that they may be degrees.

    This is so where a projected CRS was assigned to data in degrees, instead of projecting the data.

    bounds: Left, bottom, right and top, in units of the CRS. what: What lies there, in words: "the scene".
    """
    left, bottom, right, top = bounds
    small = max(abs(left), abs(right)) <= _LIKE_DEGREES[0] and max(abs(bottom), abs(top)) <= _LIKE_DEGREES[1]
    metres = crs.axis_info[0].unit_conversion_factor
    if not (crs.is_projected and small and metres <= 1):  # 90 km in kilometres is a plausible northing
        return ()
    detail = (
        f"The coordinates from {left:.6g}, {bottom:.6g} to {right:.6g}, {top:.6g} look like degrees, but {crs.name} "
        f"does not count in degrees: so {what} lies within {_LIKE_DEGREES[0] * metres:.0f} m of its origin."
    )
    hint = "If they are degrees, say so: crs=EPSG:4326 for polygons, gdal_edit.py -a_srs EPSG:4326 for a raster."
    return (Note(code="like_degrees", detail=detail, hint=hint),)


def use_notes(crs: pyproj.CRS, box: Box, what: str) -> tuple[Note, ...]:
    """Return a note if the middle of a box lies over 1.5 degrees outside the area for which a CRS is made.

    Coordinates in the wrong order or in another zone often lead there.

    box: Where something lies, in degrees of WGS 84. what: What lies there, as the beginning of a sentence: "The scene".
    """
    west, south, east, north = box
    lon, lat = west + (east - west) % 360 / 2, (south + north) / 2
    beyond = degrees_beyond_use(crs, lon, lat)
    if beyond <= _NEAR_USE_DEG:
        return ()
    detail = f"{what} lies around {lon:.2f}, {lat:.2f}, {beyond:.1f} degrees outside the area of use of {crs.name}."
    hint = "Check the CRS, its zone, and that x comes before y. If the place is right, use a CRS that is made for it."
    return (Note(code="outside_area_of_use", detail=detail, hint=hint),)
