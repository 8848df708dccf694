"""The polygons of a class map by canemap."""

from pathlib import Path

from ml.contract import BINARY
from ml.products.polygon_files import write_polygons


def polygons(classes: str, out: str) -> int:
    """As the peer."""
    folder = Path(out)
    files = folder / "polygons.geojson", folder / "polygons.gpkg"
    return write_polygons(Path(classes), BINARY, *files, min_area_ha=0)
