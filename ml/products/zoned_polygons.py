"""The polygons of a map, cut at the borders of zones."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon

from ml.bounded import Count
from ml.contract import ClassDef
from ml.frozen import Frozen
from ml.geo.areas import polygon_area_ha
from ml.geo.grid import Grid, grid_of
from ml.geo.raster import open_raster
from ml.labels.repair import only_areas
from ml.products.polygon_files import geojson_file, gpkg_file, read_gpkg
from ml.products.polygons import Patches
from ml.zones.placing import pieces_on
from ml.zones.read import Zones

NO_ZONE = -1
_SLIVER_PX = 1e-6  # area of pieces that rounding leaves where a border of a polygon follows that of a zone
Geometries = NDArray[np.object_]


class ZonedPolygons(Frozen):
    """How many polygons a file has after they were cut."""

    count: Count


def write_zoned_polygons(
    polygons: Path, map_: Path, names: Sequence[ClassDef], zones: Zones, out: Path
) -> ZonedPolygons:
    """Cut the polygons of a map at the borders of zones, and write them to a file with the zone of each.

    Each piece belongs to one zone: of nested zones to the innermost, and of others that overlap to the first of the
    layer; or to none. So no ground is there twice, and the pieces of all zones, and of none, have the hectares of the
    polygons. `probability` stays that of the whole polygon.

    polygons: GeoPackage of the map, by `write_polygons`. map_: Its class map. names: All classes of it. out: Path of
        the file to write, .geojson or .gpkg.
    """
    with open_raster(map_) as dataset:
        grid = grid_of(dataset)
    shapes = _shapes(zones, grid)
    texts = [(each.code, each.name) for each in zones.texts]
    count = 0
    with (geojson_file if out.suffix == ".geojson" else gpkg_file)(out, grid, names, texts) as write:
        for some in read_gpkg(polygons):
            pieces = _cut(some, shapes, grid)
            count += len(pieces.values)
            write(pieces)
    return ZonedPolygons(count=count)


def _shapes(zones: Zones, grid: Grid) -> dict[int, Polygon | MultiPolygon]:
    """The zones near a grid in its CRS, by their numbers: innermost first, then in the order of the layer."""
    near = pieces_on(zones, grid)
    depth = {number: len(list(zones.ancestors(number))) for number in near}

    def in_crs(xy: np.ndarray) -> np.ndarray:
        return np.column_stack(grid.xy(*xy.T))

    def whole(pieces: Geometries) -> Polygon | MultiPolygon:
        placed = shapely.make_valid(shapely.transform(pieces, in_crs), method="structure", keep_collapsed=False)
        return only_areas(shapely.union_all(placed))

    return {number: whole(near[number]) for number in sorted(near, key=lambda each: (-depth[each], each))}


def _cut(some: Patches, shapes: dict[int, Polygon | MultiPolygon], grid: Grid) -> Patches:
    """The pieces of some patches."""
    rest = some.geometries.copy()
    tree = shapely.STRtree(some.geometries)
    found: list[tuple[Geometries, NDArray[np.int64], int]] = []
    for number, shape in shapes.items():
        shapely.prepare(shape)
        touched = np.sort(tree.query(shape, predicate="intersects"))
        touched = touched[~shapely.is_empty(rest[touched])]
        inside = shapely.covers(shape, rest[touched])
        found.append((rest[touched[inside]], touched[inside], number))
        rest[touched[inside]] = Polygon()
        across = touched[~inside]
        found.append((shapely.intersection(rest[across], shape), across, number))
        rest[across] = shapely.difference(rest[across], shape)
    found.append((rest, np.arange(len(rest)), NO_ZONE))
    geometries, sources, numbers = _single([each for each in found if len(each[0])])
    kept = shapely.area(geometries) > _SLIVER_PX * abs(grid.transform.determinant)
    geometries, sources, numbers = geometries[kept], sources[kept], numbers[kept]
    return Patches(
        geometries=geometries,
        values=some.values[sources],
        areas_ha=polygon_area_ha(geometries, grid.crs),
        probabilities=some.probabilities[sources],
        zones=numbers,
    )


def _single(
    found: Sequence[tuple[Geometries, NDArray[np.int64], int]],
) -> tuple[Geometries, NDArray[np.int64], NDArray[np.int64]]:
    """The single polygons of what was cut, the number of the patch of each, and that of its zone."""
    geometries = np.concatenate([each for each, _, _ in found])
    sources = np.concatenate([numbers for _, numbers, _ in found])
    zones = np.concatenate([np.full(len(each), number) for each, _, number in found])
    parts, owners = shapely.get_parts(geometries, return_index=True)
    polygons = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    return parts[polygons], sources[owners[polygons]], zones[owners[polygons]].astype(np.int64)
