"""Ground that lies in two zones: its hectares would count twice in a sum over zones."""

from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry import MultiPolygon, Polygon

from ml.geo.areas import polygon_area_ha
from ml.labels.repair import only_areas
from ml.zones.read import Zones

LEAST_HA = 1e-4  # a square metre; less comes from the rounding of coordinates


@dataclass(frozen=True)
class Shared:
    """Ground that two zones have in common. one, other: Numbers of the zones. area: In the CRS of the layer."""

    one: int
    other: int
    area: Polygon | MultiPolygon
    area_ha: float


def shared_ground(zones: Zones) -> list[Shared]:
    """The ground that pairs of zones share, largest first, but not what a zone shares with one that it is a part of."""
    above = [set(zones.ancestors(number)) for number in range(len(zones.texts))]
    touching = zones.tree.query(zones.geometries, predicate="intersects")
    pairs = np.array(
        [(a, b) for a, b in touching.T.tolist() if a < b and b not in above[a] and a not in above[b]], dtype=int
    ).reshape(-1, 2)
    shared = shapely.intersection(*(zones.geometries[numbers] for numbers in pairs.T))
    areas = np.array([only_areas(each) for each in shared], dtype=object)
    found = zip(pairs.tolist(), areas.tolist(), polygon_area_ha(areas, zones.crs).tolist(), strict=True)
    kept = [Shared(one, other, area, area_ha) for (one, other), area, area_ha in found if area_ha >= LEAST_HA]
    return sorted(kept, key=lambda each: -each.area_ha)


def overlap_ha(zones: Zones, shared: list[Shared]) -> np.ndarray:
    """How many hectares of each zone lie in others as well, shape (zones,). Ground in several others counts once."""
    parts: dict[int, list[Polygon | MultiPolygon]] = {}
    for each in shared:
        for number in (each.one, each.other):
            parts.setdefault(number, []).append(each.area)
    result = np.zeros(len(zones.texts))
    if parts:
        unions = np.array([only_areas(shapely.union_all(areas)) for areas in parts.values()], dtype=object)
        result[list(parts)] = polygon_area_ha(unions, zones.crs)
    return result
