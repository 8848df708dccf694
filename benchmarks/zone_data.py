"""A map and zones for benchmarks: counties that tile the map."""

import json
from pathlib import Path

import numpy as np
import pyproj
import rasterio
import shapely
from rasterio.transform import from_origin

EDGE_DEG = 0.0005
PATCH_PX = 9


def make_map(path: str, size: int) -> None:
    """Write a map of two classes, uint8 (1, size, size), in patches, with pixels of 10 m."""
    side = -(-size // PATCH_PX)
    patches = np.random.default_rng(0).integers(0, 2, (side, side), np.uint8)
    values = np.kron(patches, np.ones((PATCH_PX, PATCH_PX), np.uint8))[:size, :size]
    grid = {"crs": "EPSG:32649", "transform": from_origin(500_000, 2_500_000, 10, 10), "nodata": 255}
    shape = {"count": 1, "dtype": "uint8", "width": size, "height": size}
    with rasterio.open(path, "w", driver="GTiff", tiled=True, compress="deflate", **shape, **grid) as file:
        file.write(values, 1)


def make_zones(map_: str, path: str, number: int) -> dict[str, float]:
    """Write counties that tile most of a map as GeoJSON in WGS 84; their geodesic hectares by code."""
    with rasterio.open(map_) as file:
        to_degrees = pyproj.Transformer.from_crs(file.crs, "OGC:CRS84", always_xy=True)
        left, bottom, right, top = file.bounds
        margin = 0.02 * (right - left)
        x, y = to_degrees.transform([left + margin, right - margin], [bottom + margin, top - margin])
    box = shapely.box(x[0], y[0], x[1], y[1])
    points = np.random.default_rng(0).uniform(box.bounds[:2], box.bounds[2:], (number, 2))
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.multipoints(points), extend_to=box))
    counties = shapely.intersection(cells, box).tolist()
    features = [
        {"type": "Feature", "properties": {"code": str(code)}, "geometry": shapely.geometry.mapping(each)}
        for code, each in enumerate(counties)
    ]
    Path(path).write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    geod = pyproj.Geod(ellps="WGS84")
    areas_m2 = (geod.geometry_area_perimeter(shapely.segmentize(each, EDGE_DEG))[0] for each in counties)
    return {str(code): abs(area_m2) / 10_000 for code, area_m2 in enumerate(areas_m2)}
