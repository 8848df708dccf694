"""What a finished prediction is turned into: COGs, polygons, a style, hectares."""

from pathlib import Path

from ml.config import PredictConfig
from ml.contract import Contract
from ml.geo.areas import class_areas_ha
from ml.geo.raster import open_raster
from ml.geo.windows import blocks
from ml.model import Frozen
from ml.nn.strips import Bytes
from ml.progress import Watch

NODATA = 255


class PredictResult(Frozen):
    """files: what was asked for, by name, like "classes.tif". area_ha: hectares by class value.

    observed_ha, unobserved_ha: hectares of the scene's valid pixels, and of the others.
    """

    files: dict[str, Path]
    area_ha: dict[int, float]
    observed_ha: float
    unobserved_ha: float


def write_products(
    maps: Bytes, scene: Path, contract: Contract, config: PredictConfig, out: Path, watch: Watch
) -> PredictResult:
    """Turn `maps`, (class and probability, rows, cols), into the files that `config.outputs` asks for, in `out`."""
    classes, probability = maps
    files = {"classes.tif": out / "classes.tif"}
    _write_cog(classes, scene, files["classes.tif"])
    area_ha = class_areas_ha(files["classes.tif"])
    if "probability" in config.outputs:
        files["probability.tif"] = out / "probability.tif"
        _write_cog(probability, scene, files["probability.tif"])
    if "classes" not in config.outputs:
        files.pop("classes.tif").unlink()
    unobserved_ha = area_ha.pop(NODATA, 0.0)
    area_ha = {definition.value: area_ha.get(definition.value, 0.0) for definition in contract.classes}
    return PredictResult(files=files, area_ha=area_ha, observed_ha=sum(area_ha.values()), unobserved_ha=unobserved_ha)


def _write_cog(pixels: Bytes, like: Path, path: Path) -> None:
    """Interim."""
    import rasterio
    import rasterio.shutil

    with open_raster(like) as scene:
        place = {"crs": scene.crs, "transform": scene.transform, "height": scene.height, "width": scene.width}
    part = path.with_suffix(".part")
    with rasterio.open(part, "w", driver="GTiff", count=1, dtype="uint8", nodata=NODATA, tiled=True, **place) as file:
        for window in blocks(*pixels.shape, block_px=512):
            file.write(
                pixels[window.slices],
                1,
                window=rasterio.windows.Window(window.col, window.row, window.cols, window.rows),
            )
    rasterio.shutil.copy(part, path, driver="COG", compress="DEFLATE")
    part.unlink()
