"""rasterstats: whole pixels by zone and class, times the size of a pixel."""

import geopandas  # type: ignore[import-untyped]
import rasterio
from rasterstats import zonal_stats


def hectares(map_: str, zones: str) -> dict[str, float]:
    """The hectares of all classes of each zone, by its code."""
    with rasterio.open(map_) as file:
        crs, pixel_ha = file.crs, abs(file.transform.determinant) / 10_000
    frame = geopandas.read_file(zones).to_crs(crs)
    found = zonal_stats(frame, map_, categorical=True)
    return {code: sum(counts.values()) * pixel_ha for code, counts in zip(frame["code"], found, strict=True)}
