"""Write the products of a finished prediction: COGs, polygons, a style and areas."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml.config import MMU_HA, PredictConfig
from ml.contract import MAP_NODATA, ClassDef, Contract
from ml.frozen import Frozen
from ml.geo.areas import count_by_class, window_areas
from ml.geo.grid import grid_of
from ml.geo.raster import open_raster
from ml.geo.windows import blocks
from ml.products.cog import MapEncoding, Raster, write_cog
from ml.products.mean_probability import Probabilities
from ml.products.merging import least_pixels, merged
from ml.products.palette import classes_qml, colours, colours_to_show, uncertainty_colours
from ml.products.polygon_files import write_polygons
from ml.products.polygon_totals import ClassPolygons, PolygonTotals
from ml.products.web_cog import write_web_cog
from ml.progress import Progress, Tick, Watch, silent, still
from ml.provenance import software
from ml.scenes.applicability import NOT_MEASURED, Applicability
from ml.scenes.source import RasterSource

FILES = {  # by the names in `PredictConfig.outputs`
    "classes": ("classes.tif", "classes.qml"),
    "probability": ("probability.tif",),
    "polygons": ("polygons.geojson", "polygons.gpkg"),
    "tiles": ("web.tif",),
    "uncertainty": ("uncertainty.tif", "uncertainty-web.tif"),
}
_BLOCK_PX = 1024
PROBABILITY = MapEncoding(
    "probability of class 1, or of the mapped one of more than two",
    scale=1 / 250,
    offset=0.5 / 250,
    resampling="average",
)
UNCERTAINTY = MapEncoding(
    "uncertainty of the class: the entropy of the probabilities, from 0 (one is 1) to 1 (all are equal)",
    scale=1 / 250,
    offset=0.5 / 250,
    resampling="average",
)


@dataclass(frozen=True)
class MapLayers:
    """The pixels of a finished map, each layer uint8 (rows, cols), with `MAP_NODATA` where nothing was observed.

    classes: Class values. probability: Bytes as `ml.nn.unet.probability_byte` makes them. uncertainty: As
    `ml.nn.unet.uncertainty_byte` makes them; None if they are not asked for.
    """

    classes: Raster
    probability: Raster
    uncertainty: Raster | None = None


class PredictResult(Frozen):
    """The products of one prediction.

    files: Paths of the requested files, by name, like "classes.tif". area_ha: Hectares by class value. observed_ha,
    unobserved_ha: Hectares of the scene's valid pixels, and of the others. software: Software and hardware that made
    the products, by name. applicability: Whether the scene is like the training of the model. polygons: What the
    polygon files have; None if they were not requested.
    """

    files: dict[str, Path]
    area_ha: dict[int, float]
    observed_ha: float
    unobserved_ha: float
    software: dict[str, str]
    applicability: Applicability = NOT_MEASURED
    polygons: PolygonTotals | None = None


def write_products(
    layers: MapLayers,
    scene: Path,
    contract: Contract,
    config: PredictConfig,
    out: Path,
    watch: Watch = silent,
) -> PredictResult:
    """Write the files of a prediction, which `config.outputs` names, into the folder `out`, on the grid of `scene`.

    "classes" gives classes.tif and classes.qml, "probability" probability.tif, "polygons" polygons.geojson (WGS 84)
    and polygons.gpkg (the scene's CRS), "tiles" web.tif (see `write_web_cog`; none beyond the 85th parallels),
    "uncertainty" uncertainty.tif and, with "tiles", uncertainty-web.tif. A byte b of a probability or uncertainty means
    (b + 0.5) / 250, as its scale and offset say. `watch` is called in the stage "write",
    which counts outputs, at least every second or so.
    """
    steps = _Outputs(watch, len({"classes", *config.outputs}))
    files = {name: out / name for output in config.outputs for name in FILES[output]}
    totals: PolygonTotals | None = None
    map_ = out / "classes.tif"  # areas and polygons are computed from it, even if it is not requested
    steps.begin("classes")
    write_cog(layers.classes, scene, map_, classes_encoding(contract.classes), steps.tick)
    area_ha = class_areas_ha(map_, steps.tick)
    if "probability" in config.outputs:
        steps.begin("probability")
        write_cog(layers.probability, scene, files["probability.tif"], PROBABILITY, steps.tick)
    if "polygons" in config.outputs:
        steps.begin("polygons")
        known = Probabilities(layers.probability, layers.classes if len(contract.classes) > 2 else None)
        totals = _write_polygons(map_, known, contract.classes, config, files, area_ha, steps.tick)
    if "tiles" in config.outputs:
        steps.begin("tiles")
        if not write_web_cog(map_, files["web.tif"], colours_to_show(contract.classes), steps.tick):
            del files["web.tif"]
    if "uncertainty" in config.outputs and layers.uncertainty is not None:
        steps.begin("uncertainty")
        _write_uncertainty(layers.uncertainty, scene, files, steps.tick, tiles="tiles" in config.outputs)
    if "classes" in config.outputs:
        files["classes.qml"].write_text(classes_qml(contract.classes), encoding="utf-8")
    else:
        map_.unlink()
    steps.end()
    unobserved_ha = area_ha.pop(MAP_NODATA, 0.0)
    by_class = {item.value: area_ha.get(item.value, 0.0) for item in contract.classes}
    return PredictResult(
        files=files,
        area_ha=by_class,
        observed_ha=sum(by_class.values()),
        unobserved_ha=unobserved_ha,
        software=software(),
        polygons=totals,
    )


def _write_uncertainty(uncertainty: Raster, scene: Path, files: dict[str, Path], tick: Tick, *, tiles: bool) -> None:
    """Write the uncertainty, and its web COG if `tiles`; without one, it is taken out of `files`."""
    path, web = (files[name] for name in FILES["uncertainty"])
    write_cog(uncertainty, scene, path, UNCERTAINTY, tick)
    if not (tiles and write_web_cog(path, web, uncertainty_colours(), tick)):
        del files[web.name]


def _write_polygons(
    map_: Path,
    probabilities: Probabilities,
    classes: Sequence[ClassDef],
    config: PredictConfig,
    files: Mapping[str, Path],
    mapped_ha: Mapping[int, float],
    tick: Tick,
) -> PolygonTotals:
    """Write the polygon files. mapped_ha: Hectares of the map by class value."""
    mmu_ha = MMU_HA if config.mmu_ha is None else config.mmu_ha
    least_px = least_pixels(map_, mmu_ha)
    with merged(map_, least_px, tick) as smooth:
        written = write_polygons(
            smooth,
            classes,
            files["polygons.geojson"],
            files["polygons.gpkg"],
            min_area_ha=config.min_area_ha,
            simplify_m=config.simplify_m,
            probabilities=probabilities,
            tick=tick,
        )
        merged_ha = mapped_ha if smooth == map_ else class_areas_ha(smooth, tick)
    totals = (
        ClassPolygons(
            value=item.value,
            name=item.name,
            count=found.count,
            mapped_ha=(mapped := mapped_ha.get(item.value, 0.0)),
            merged_ha=merged_ha.get(item.value, 0.0) - mapped,
            left_out_ha=found.left_out_ha,
            area_ha=found.area_ha,
        )
        for item in classes
        if (found := written.get(item.value))
    )
    return PolygonTotals(mmu_ha=mmu_ha, mmu_px=least_px, classes=tuple(totals))


class _Outputs:
    """Reports which of the outputs is being written, of `total`."""

    def __init__(self, watch: Watch, total: int) -> None:
        self._watch, self._total, self._done, self._name = watch, total, -1, ""

    def begin(self, name: str) -> None:
        """Report that an output is begun, and all before it are done."""
        self._done, self._name = self._done + 1, name
        self.tick()

    def tick(self) -> None:
        """Report that the work on this output goes on."""
        self._watch(Progress("write", self._done, self._total, self._name))

    def end(self) -> None:
        """Report that all outputs are done."""
        self._watch(Progress("write", self._total, self._total))


def classes_encoding(classes: Sequence[ClassDef]) -> MapEncoding:
    """How a map of these classes is encoded."""
    # the colours of a TIFF have no alpha: what should be transparent is so in the style and in the tiles
    opaque = {value: (*colour, 255) for value, colour in colours(classes).items()}
    tags = {f"CLASS_{item.value}": item.name for item in classes}
    return MapEncoding("class", colours=opaque, tags=tags)


def class_areas_ha(path: Path, tick: Tick = still) -> dict[int, float]:
    """Hectares of each value in a uint8 class raster, computed by blocks; `MAP_NODATA` means not observed."""
    total = np.zeros(256)
    with open_raster(path) as dataset:
        grid = grid_of(dataset)
    with RasterSource(path) as source:
        for window in blocks(source.rows, source.cols, block_px=_BLOCK_PX):
            tick()
            values, _ = source.read_raw(window)
            total += count_by_class(values[0], window_areas(grid, window))[1]
    return {int(value): float(total[value]) for value in np.flatnonzero(total)}
