"""Grid of a scene: where its pixels lie on the ground. Grids may be rotated, sheared or south-up."""

import json
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pyproj
import shapely
from affine import Affine
from rasterio.io import DatasetReader
from shapely.geometry import MultiPolygon, Polygon

from ml.geo.crs import crs_from_wkt, to_wgs84, transformer
from ml.geo.operations import WGS84, Operation, operation
from ml.geo.operations import Box as Box

_SIDE_POINTS = 8  # points per side of a footprint, because the straight edges of a scene are curves in degrees


@dataclass(frozen=True)
class Grid:
    """Pixel grid of a raster.

    rows, cols: Size in pixels.
    transform: Affine transform from (col, row), in pixels from the corner of the grid, to x, y of `crs`.
    crs: CRS of the grid.
    """

    rows: int
    cols: int
    transform: Affine
    crs: pyproj.CRS

    def xy(self, cols: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return x, y of places in pixels from the corner of the grid; (0.5, 0.5) is the centre of the first pixel."""
        a, b, c, d, e, f = self.transform[:6]
        return a * cols + b * rows + c, d * cols + e * rows + f

    def pixels(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return cols, rows of places in x, y. This is the inverse of `xy`."""
        a, b, c, d, e, f = (~self.transform)[:6]
        return a * x + b * y + c, d * x + e * y + f

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right and top of the grid, in units of the CRS."""
        x, y = self.outline().T
        return float(x.min()), float(y.min()), float(x.max()), float(y.max())

    def outline(self) -> np.ndarray:
        """Return x, y of points along the sides of the grid, in order, not closed, shape (points, 2), float64."""
        steps = np.arange(_SIDE_POINTS) / _SIDE_POINTS
        zero, one = np.zeros_like(steps), np.ones_like(steps)
        cols = np.concatenate([steps, one, 1 - steps, zero]) * self.cols
        rows = np.concatenate([zero, steps, one, 1 - steps]) * self.rows
        return np.column_stack(self.xy(cols, rows))

    @cached_property
    def operation(self) -> Operation:
        """How the pixels of the grid get to WGS 84: one operation for all of them."""
        outline = self.outline()
        return operation(self.crs, WGS84, box_around(*to_wgs84(self.crs).transform(*outline.T)))

    @cached_property
    def outline_wgs84(self) -> np.ndarray:
        """Outline in degrees of longitude and latitude, shape (points, 2), float64.

        Longitudes are continuous, so they go beyond +-180 if the grid crosses the date line. The outline of a grid
        around a pole follows the date line to the pole and back.
        """
        lon, lat = self.operation.transformer.transform(*self.outline().T)
        with np.errstate(invalid="ignore"):  # coordinates are infinite where the CRS cannot place them
            outline = np.column_stack([np.unwrap(lon, period=360), lat])
        return outline if self.pole is None else _around_pole(outline, self.pole)

    @cached_property
    def pole(self) -> float | None:
        """Latitude of the pole that lies inside the grid; None if none does, as always in a grid in degrees."""
        if self.crs.is_geographic:
            return None
        for latitude in (90.0, -90.0):
            with np.errstate(invalid="ignore"):  # coordinates are infinite where the CRS cannot place them
                col, row = self.pixels(*map(np.array, transformer(WGS84, self.crs).transform(0.0, latitude)))
            if 0 < col < self.cols and 0 < row < self.rows:
                return latitude
        return None

    def footprint(self) -> dict[str, Any]:
        """Return the outline as a GeoJSON Polygon in WGS 84.

        If the grid crosses the date line, it is a MultiPolygon that is cut there (RFC 7946).
        """
        outline = Polygon(self.outline_wgs84)
        footprint = shapely.multipolygons(cut_at_date_line(outline) or [outline])
        pieces = shapely.get_parts(footprint)
        geojson: dict[str, Any] = json.loads(shapely.to_geojson(pieces[0] if len(pieces) == 1 else footprint))
        return geojson

    def bbox(self) -> Box:
        """Return the bounding box of the outline, in degrees of WGS 84."""
        return _box_of(*self.outline_wgs84.T)


def counter_clockwise(geometry: dict[str, Any]) -> dict[str, Any]:
    """Return a GeoJSON Polygon or MultiPolygon without holes whose rings run counter-clockwise (RFC 7946).

    Rings are turned and not computed anew, because a list has thousands of them.
    """
    if geometry["type"] == "MultiPolygon":
        return geometry | {"coordinates": [[_turned(ring) for ring in rings] for rings in geometry["coordinates"]]}
    return geometry | {"coordinates": [_turned(ring) for ring in geometry["coordinates"]]}


def _turned(ring: list[list[float]]) -> list[list[float]]:
    (x0, y0), *_ = ring  # far from 0, small areas would be lost
    doubled = sum((x - x0) * (v - y0) - (u - x0) * (y - y0) for (x, y), (u, v) in pairwise(ring))
    return ring if doubled >= 0 else ring[::-1]


def _around_pole(outline: np.ndarray, pole: float) -> np.ndarray:
    """Return an outline around a pole as a ring from -180 to 180 degrees that follows the date line to the pole."""
    lon, lat = _within_180(outline[:, 0]), outline[:, 1]
    order = np.argsort(lon)
    lon, lat = lon[order], lat[order]
    at_date_line = np.interp(180, [lon[-1], lon[0] + 360], [lat[-1], lat[0]])
    ends = [[180, at_date_line], [180, pole], [-180, pole], [-180, at_date_line]]
    return np.concatenate([np.column_stack([lon, lat]), ends])


def cut_at_date_line(polygon: Polygon | MultiPolygon) -> list[Polygon]:
    """Return the parts of a polygon west and east of the date line, with longitudes from -180 to 180 degrees.

    polygon: Polygon in degrees. Its longitudes are continuous and go beyond +-180 at the date line.
    """
    parts = list[Polygon]()
    west, _, east, _ = polygon.bounds
    for turn in range(int((west + 180) // 360), int((east + 180) // 360) + 1):
        side = shapely.box(turn * 360 - 180, -91, turn * 360 + 180, 91)
        inside = polygon if side.contains(polygon) else shapely.intersection(polygon, side)
        pieces = [piece for piece in shapely.get_parts(inside) if isinstance(piece, Polygon) and piece.area > 0]
        parts += shapely.transform(np.array(pieces), lambda points, turn=turn: points - (360 * turn, 0)).tolist()
    return parts


def box_around(lon: np.ndarray, lat: np.ndarray) -> Box | None:
    """Return the bounding box of the points of a line; None if not all of them lie on the Earth.

    lon, lat: Degrees of WGS 84, shape (points,). Neighbours are less than half a turn apart.
    """
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        return None
    return _box_of(np.unwrap(lon, period=360), lat)


def _box_of(lon: np.ndarray, lat: np.ndarray) -> Box:
    """Return the bounding box of places whose longitudes are continuous, and may lie beyond +-180 degrees."""
    if np.ptp(lon) >= 360:
        return -180.0, float(lat.min()), 180.0, float(lat.max())
    west, east = (float(each) for each in _within_180(np.array([lon.min(), lon.max()])))
    return west, float(lat.min()), east, float(lat.max())


def far_apart(one: Box, other: Box) -> bool:
    """Return whether two boxes share no point; boxes may cross the date line."""
    (west, south, east, north), (left, bottom, right, top) = one, other
    east, right = east + 360 * (west > east), right + 360 * (left > right)
    beside = all(left + turn > east or right + turn < west for turn in (-360, 0, 360))
    return beside or bottom > north or top < south


def grid_of(dataset: DatasetReader) -> Grid:
    """Return the grid of an open raster, which must have a CRS.

    Raises:
        InputRefused: unknown_crs if the CRS cannot be used.
    """
    crs = crs_from_wkt(dataset.crs.to_wkt(version="WKT2_2019"))
    return Grid(dataset.height, dataset.width, dataset.transform, crs)


def _within_180(lon: np.ndarray) -> np.ndarray:
    return np.where(np.abs(lon) <= 180, lon, (lon + 180) % 360 - 180)
