"""Grid of a scene: where its pixels lie on the ground. Grids may be rotated, sheared or south-up."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyproj
import shapely
from affine import Affine
from rasterio.io import DatasetReader
from shapely.geometry import MultiPolygon, Polygon

from ml.geo.crs import crs_from_wkt, to_wgs84

Box = tuple[float, float, float, float]
"""West, south, east and north limits in degrees; west is larger than east if the box crosses the date line."""
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
    def outline_wgs84(self) -> np.ndarray:
        """Outline in degrees of longitude and latitude, shape (points, 2), float64.

        Longitudes are continuous, so they go beyond +-180 if the grid crosses the date line.
        """
        lon, lat = to_wgs84(self.crs).transform(*self.outline().T)
        with np.errstate(invalid="ignore"):  # coordinates are infinite where the CRS cannot place them
            return np.column_stack([np.unwrap(lon, period=360), lat])

    def footprint(self) -> dict[str, Any]:
        """Return the outline as a GeoJSON Polygon in WGS 84.

        If the grid crosses the date line, it is a MultiPolygon that is cut there (RFC 7946).
        """
        polygon = Polygon(self.outline_wgs84)
        pieces = []
        for turn in (-360, 0, 360):
            piece = shapely.clip_by_rect(polygon, turn - 180, -90, turn + 180, 90)
            if piece.area > 0:
                pieces.append(shapely.transform(piece, lambda points, turn=turn: points - (turn, 0)))
        footprint = pieces[0] if len(pieces) == 1 else MultiPolygon(pieces)
        geojson: dict[str, Any] = json.loads(shapely.to_geojson(footprint))
        return geojson

    def bbox(self) -> Box:
        """Return the bounding box of the outline, in degrees of WGS 84."""
        (west, south), (east, north) = self.outline_wgs84.min(axis=0), self.outline_wgs84.max(axis=0)
        if east - west >= 360:
            return -180.0, float(south), 180.0, float(north)
        return _within_180(west), float(south), _within_180(east), float(north)


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


def _within_180(lon: float) -> float:
    return float(lon) if -180 <= lon <= 180 else float((lon + 180) % 360 - 180)
