"""Uses every library once, before an upload comes: the first use of GDAL and of PROJ takes 50 ms, the next 4."""

import json
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from app.inspection.tasks import as_png
from ml.labels.inspect import inspect_labels
from ml.products.cog import is_cog
from ml.products.scene_picture import SceneFile, Style, draw, tile_place
from ml.scenes.inspect import inspect_scene

SIDE = 16
SQUARE = ((105.0, 23.0), (105.1, 23.0), (105.1, 23.1), (105.0, 23.0))


def warm_up() -> None:
    """Inspect a small scene and a small layer of labels, which this function makes, and draw the scene."""
    # what is not set up right is told by the inspection of an upload that needs it
    with suppress(Exception), tempfile.TemporaryDirectory() as folder:
        scene, labels = Path(folder, "scene.tif"), Path(folder, "labels.geojson")
        _write_scene(scene)
        inspect_scene(scene)
        is_cog(scene)
        as_png(draw(SceneFile(scene, None, ("1",), ((0, 1),)), Style(bands=(0,)), tile_place(0, 0, 0)).pixels)
        geometry = {"type": "Polygon", "coordinates": [SQUARE]}
        labels.write_text(
            json.dumps({"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": geometry}]})
        )
        inspect_labels(labels)


def _write_scene(path: Path) -> None:
    pixels = np.arange(SIDE * SIDE, dtype=np.uint16).reshape(1, SIDE, SIDE)
    grid = {"crs": "EPSG:32648", "transform": Affine(10, 0, 500_000, 0, -10, 2_500_000)}
    with rasterio.open(path, "w", driver="GTiff", width=SIDE, height=SIDE, count=1, dtype="uint16", **grid) as file:
        file.write(pixels)
