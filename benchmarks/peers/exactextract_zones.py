"""exactextract: shares of pixels by zone and class, times the size of a pixel."""

import geopandas  # type: ignore[import-untyped]
import rasterio
from exactextract.exact_extract import exact_extract


def hectares(map_: str, zones: str) -> dict[str, float]:
    """The hectares of all classes of each zone, by its code."""
    with rasterio.open(map_) as file:
        crs, pixel_ha = file.crs, abs(file.transform.determinant) / 10_000
        frame = geopandas.read_file(zones).to_crs(crs)
        found = exact_extract(file, frame, ["unique", "frac", "count"], include_cols=["code"])
    return {each["properties"]["code"]: each["properties"]["count"] * pixel_ha for each in found}
