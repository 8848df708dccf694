"""The polygons of a class map as most users get them: traced by rasterio, written by GeoPandas with pyogrio."""

import geopandas  # type: ignore[import-untyped]
import rasterio
from rasterio.features import shapes

EQUAL_AREA = "EPSG:6933"


def polygons(classes: str, out: str) -> int:
    """Write polygons.gpkg and polygons.geojson with classes and hectares into `out`; the number of polygons."""
    with rasterio.open(classes) as file:
        values = file.read(1)
        mapped = (values > 0) & (values != file.nodata)
        traced = shapes(values, mask=mapped, connectivity=4, transform=file.transform)
        features = [{"geometry": outline, "properties": {"class": int(value)}} for outline, value in traced]
        frame = geopandas.GeoDataFrame.from_features(features, crs=file.crs)
    frame["area_ha"] = frame.to_crs(EQUAL_AREA).area / 10_000
    frame.to_file(f"{out}/polygons.gpkg")
    frame.to_crs("EPSG:4326").to_file(f"{out}/polygons.geojson", driver="GeoJSON", RFC7946="YES")
    return len(frame)
