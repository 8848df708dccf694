"""Notes that reports of all layers have in common: on places, missing geometries, and polygons that are too wide."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import pyproj
import shapely

from ml.faults import Note
from ml.geo.crs import full_turn
from ml.geo.crs_codes import code_notes
from ml.geo.datum_shifts import datum_notes
from ml.geo.grid import Box
from ml.geo.operations import Operation
from ml.geo.placement import degree_notes, use_notes
from ml.labels.polygons import Bounds, Polygons


class Placed(Protocol):
    """A layer of polygons or a raster: where it lies, and how it gets to WGS 84."""

    @property
    def crs(self) -> pyproj.CRS:
        """CRS of the layer."""

    @property
    def box(self) -> Box:
        """Bounding box, in degrees of WGS 84."""

    @property
    def bounds(self) -> Bounds:
        """Bounding box, in units of the CRS."""

    @property
    def to_wgs84(self) -> Operation:
        """How places get to WGS 84."""


def place_notes(layer: Placed) -> tuple[Note, ...]:
    """Return notes on the CRS of a layer and on where it lies."""
    datum = datum_notes(layer.to_wgs84, layer.box, f"The layer is in {layer.crs.name}")
    placed = degree_notes(layer.crs, layer.bounds, "the layer") or use_notes(layer.crs, layer.box, "The layer")
    return code_notes(layer.crs) + datum + placed


def without_geometry(layer: Polygons) -> Iterator[Note]:
    """Yield no_geometry if features have no geometry."""
    if left_out := layer.file.without_geometry:
        detail = f"{left_out} features have no geometry, or an empty one, and are left out."
        yield Note(code="no_geometry", detail=detail)


def wide_polygons(layer: Polygons) -> Iterator[Note]:
    """Yield wide_polygon if polygons in degrees span over half the Earth: they may mean to cross the date line."""
    turn = full_turn(layer.crs) if layer.crs.is_geographic else None
    if turn is None:
        return
    wide = np.flatnonzero(np.ptp(shapely.bounds(layer.geometries)[:, ::2], axis=1) > turn / 2)
    if len(wide):
        listed = ", ".join(str(number + 1) for number in wide[:20].tolist())
        hint = "If they cross the date line, cut them there, or let their longitudes go beyond 180 degrees."
        yield Note(code="wide_polygon", detail=f"Features {listed} span over half the Earth.", hint=hint)
