"""Builds polygons from rings of positions, whatever format the rings come from."""

from collections.abc import Sequence

import numpy as np
from shapely.geometry import MultiPolygon, Polygon

from ml.labels.features import NoPolygonError


def polygon_of(rings: Sequence[np.ndarray]) -> Polygon:
    """Return the polygon with the outline `rings[0]` and the holes `rings[1:]`.

    rings: Positions of each ring, shape (positions, 2), float64: x, y.

    Raises:
        NoPolygonError: A ring has fewer than four positions, is not closed, or has a position that is not finite.
    """
    for ring in rings:
        check_ring(ring)
    return Polygon(rings[0], rings[1:])


def one_geometry(polygons: Sequence[Polygon]) -> Polygon | MultiPolygon | None:
    """Return several polygons as one geometry; None if there is no polygon."""
    if not polygons:
        return None
    return polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)


def check_ring(ring: np.ndarray) -> None:
    """Raise `NoPolygonError` unless a ring, shape (positions, 2), is closed and finite and has four positions."""
    closed = len(ring) >= 4 and ring[0, 0] == ring[-1, 0] and ring[0, 1] == ring[-1, 1]
    if not closed or not np.isfinite(ring).all():
        raise NoPolygonError("a ring needs at least four finite positions, the last equal to the first")
