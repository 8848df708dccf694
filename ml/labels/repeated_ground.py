"""Ground that several polygons of one class cover, which should count once."""

from collections.abc import Iterator, Mapping

import numpy as np
import pyproj
import shapely

from ml.contract import UNLABELLED
from ml.faults import Note
from ml.geo.areas import polygon_area_ha

MAX_POINTS = 3_000_000  # of the polygons in all pairs whose bounding boxes overlap, which takes some five seconds
_CHUNK = 100  # polygons compared with all others in one step
_SLIVER = 1e-6  # share of the smaller polygon below which two polygons only touch
_NOTED = 0.01  # share of the area of a class; neighbours that were drawn by hand overlap a little


def repeated_ha(geometries: np.ndarray, values: np.ndarray, crs: pyproj.CRS) -> dict[int, float]:
    """Return by how many hectares the areas of polygons exceed the ground that they cover, by class value.

    Of a class with very many neighbours only polygons that are the same are found.

    geometries: Valid polygons in `crs`, shape (features,). values: Class value of each polygon, shape (features,).
    """
    repeated = dict[int, float]()
    for value in np.unique(values[values != UNLABELLED]).tolist():
        own = geometries[values == value]
        found = own[_overlapping(own)]
        if len(found):
            ground = shapely.get_parts(shapely.union_all(found))
            repeated[value] = float(polygon_area_ha(found, crs).sum() - polygon_area_ha(ground, crs).sum())
    return repeated


def repeated_notes(repeated: Mapping[int, float], area_ha: Mapping[int, float]) -> Iterator[Note]:
    """Yield a note for each class of which over a hundredth is covered more than once.

    repeated, area_ha: Hectares by class value: by how much the polygons exceed the ground, and of the ground.
    """
    for value, again in repeated.items():
        if again > _NOTED * area_ha[value]:
            drawn, covered = f"{area_ha[value] + again:.6g} ha", f"{area_ha[value]:.6g} ha"
            detail = f"Polygons of class {value} overlap each other: they have {drawn}, but cover {covered}."
            hint = "Each place counts once. Check whether polygons are in the file twice."
            yield Note(code="repeated_ground", detail=detail, hint=hint)


def _overlapping(geometries: np.ndarray) -> np.ndarray:
    """Return which polygons overlap another one, shape (polygons,), bool."""
    overlap, compared = np.zeros(len(geometries), dtype=bool), 0
    tree, areas, points = shapely.STRtree(geometries), shapely.area(geometries), shapely.get_num_coordinates(geometries)
    for start in range(0, len(geometries), _CHUNK):
        one, other = tree.query(geometries[start : start + _CHUNK])
        one, other = one[other > one + start] + start, other[other > one + start]
        compared += int(points[one].sum() + points[other].sum())
        if compared > MAX_POINTS:
            return _equal(geometries)
        shared = shapely.area(shapely.intersection(geometries[one], geometries[other]))
        real = shared > _SLIVER * np.minimum(areas[one], areas[other])
        overlap[one[real]] = overlap[other[real]] = True
    return overlap


def _equal(geometries: np.ndarray) -> np.ndarray:
    """Return which polygons are the same as another one, shape (polygons,), bool."""
    _, number, times = np.unique(
        shapely.to_wkb(shapely.normalize(geometries)).astype(object), return_inverse=True, return_counts=True
    )
    return np.asarray(times[number] > 1)
