"""canemap: the polygons of a class map."""

from pathlib import Path

from ml.contract import BINARY
from ml.products.polygon_files import write_polygons


def polygons(classes: str, out: str, simplify_m: float | None = None) -> int:
    """Write the polygons of a map as the peer does, or simplified; their number."""
    folder = Path(out)
    files = folder / "polygons.geojson", folder / "polygons.gpkg"
    written = write_polygons(Path(classes), BINARY, *files, min_area_ha=0, simplify_m=simplify_m)
    return written[1].count
