"""canemap: the polygons of a class map."""

from pathlib import Path

from ml.contract import BINARY
from ml.products.polygon_files import write_polygons


def polygons(classes: str, out: str) -> int:
    """Write the polygons of a map as the peer does; their number."""
    folder = Path(out)
    files = folder / "polygons.geojson", folder / "polygons.gpkg"
    return write_polygons(Path(classes), BINARY, *files, min_area_ha=0)
