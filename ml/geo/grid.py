"""The grid of a scene: how pixels lie on the ground, turned and sheared grids and south-up ones included."""

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

Box = tuple[float, float, float, float]  # west, south, east, north in degrees; west > east across the date line
_SIDE_POINTS = 8  # per side of a footprint: straight edges of a scene are curves in degrees


@dataclass(frozen=True)
class Grid:
    """rows x cols pixels; transform takes (col, row) of a pixel's corner to x, y of `crs`."""

    rows: int
    cols: int
    transform: Affine
    crs: pyproj.CRS

    def xy(self, cols: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x, y of places counted in pixels from the grid's corner; (0.5, 0.5) is the middle of the first pixel."""
        a, b, c, d, e, f = self.transform[:6]
        return a * cols + b * rows + c, d * cols + e * rows + f

    def pixels(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The inverse of `xy`: cols, rows."""
        a, b, c, d, e, f = (~self.transform)[:6]
        return a * x + b * y + c, d * x + e * y + f

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top in units of the CRS."""
        x, y = self.outline().T
        return float(x.min()), float(y.min()), float(x.max()), float(y.max())

    def outline(self) -> np.ndarray:
        """x, y of points around the scene, float64 (points, 2), in order, not closed."""
        steps = np.arange(_SIDE_POINTS) / _SIDE_POINTS
        up, zero, one = steps, np.zeros_like(steps), np.ones_like(steps)
        cols = np.concatenate([up, one, 1 - up, zero]) * self.cols
        rows = np.concatenate([zero, up, one, 1 - up]) * self.rows
        return np.column_stack(self.xy(cols, rows))

    @cached_property
    def outline_wgs84(self) -> np.ndarray:
        """The outline in degrees of longitude and latitude; continuous, so beyond +-180 across the date line."""
        lon, lat = to_wgs84(self.crs).transform(*self.outline().T)
        with np.errstate(invalid="ignore"):  # infinite where there is no Earth
            return np.column_stack([np.unwrap(lon, period=360), lat])

    def footprint(self) -> dict[str, Any]:
        """GeoJSON Polygon in WGS 84; a MultiPolygon cut at the date line where the scene crosses it (RFC 7946)."""
        polygon = Polygon(self.outline_wgs84)
        parts = []
        for turn in (-360, 0, 360):
            part = shapely.clip_by_rect(polygon, turn - 180, -90, turn + 180, 90)
            if part.area > 0:
                parts.append(shapely.transform(part, lambda points, turn=turn: points - (turn, 0)))
        footprint = parts[0] if len(parts) == 1 else MultiPolygon(parts)
        geojson: dict[str, Any] = json.loads(shapely.to_geojson(footprint))
        return geojson

    def bbox(self) -> Box:
        """The box around the scene."""
        (west, south), (east, north) = self.outline_wgs84.min(axis=0), self.outline_wgs84.max(axis=0)
        if east - west >= 360:
            return -180.0, float(south), 180.0, float(north)
        return _within_180(west), float(south), _within_180(east), float(north)


def far_apart(one: Box, other: Box) -> bool:
    """Whether two boxes share no point, wherever the date line is."""
    (west, south, east, north), (left, bottom, right, top) = one, other
    east, right = east + 360 * (west > east), right + 360 * (left > right)
    beside = all(left + turn > east or right + turn < west for turn in (-360, 0, 360))
    return beside or bottom > north or top < south


def grid_of(dataset: DatasetReader) -> Grid:
    """The grid of an open raster.

    Raises:
        InputRefused: unknown_crs.
    """
    crs = crs_from_wkt(dataset.crs.to_wkt(version="WKT2_2019"))
    return Grid(dataset.height, dataset.width, dataset.transform, crs)


def _within_180(lon: float) -> float:
    return float(lon) if -180 <= lon <= 180 else float((lon + 180) % 360 - 180)
