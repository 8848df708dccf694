"""Labels on the grid of a scene."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio import windows as rio

from ml.geo.classes import UNLABELLED, LabelOptions
from ml.geo.grid import Grid, grid_of
from ml.geo.notes import Note
from ml.geo.raster import open_raster
from ml.geo.truth import UNPAINTED, Painter, Truth, open_truth
from ml.geo.windows import Window, blocks

_BLOCK_PX = 1024
_PROFILE = {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": UNLABELLED, "compress": "deflate"}
_TILES = {"tiled": True, "blockxsize": 256, "blockysize": 256, "BIGTIFF": "IF_SAFER"}


@dataclass(frozen=True)
class BurnReport:
    """counts: pixels by class value, 255 unlabelled. overlaps: where layers contradict. labelled: any label at all."""

    counts: dict[int, int]
    overlaps: tuple[Note, ...]
    labelled: bool


def burn(labels: Sequence[tuple[Path, LabelOptions]], like: Path, out: Path) -> BurnReport:
    """Put layers of labels on the grid of the scene `like`, into a mask: uint8 GeoTIFF, 255 where nothing is labelled.

    Where layers overlap, the later one counts, and the report says so. What no layer labels is class 0 if a layer of
    polygons with background 0 touches the scene.

    Raises:
        InputRefused: what `open_truth` raises; unknown_class, not_a_mask, grid_mismatch of a raster.
    """
    return burn_truths([open_truth(path, options) for path, options in labels], like, out)


def burn_truths(truths: Sequence[Truth], like: Path, out: Path) -> BurnReport:
    """`burn` for layers that are open already: for many scenes, open them once."""
    with open_raster(like) as scene:
        grid = grid_of(scene)
    on_scene = [(truth.name, painter) for truth in truths if (painter := truth.on(grid))]
    painters = [painter for _, painter in on_scene]
    counts, contradicted = np.zeros(256, dtype=np.int64), np.zeros(len(painters), dtype=np.int64)
    place = {"height": grid.rows, "width": grid.cols, "crs": grid.crs.to_wkt(), "transform": grid.transform}
    with rasterio.open(out, "w", **_PROFILE, **_TILES, **place) as file:
        for window in blocks(grid.rows, grid.cols, block_px=_BLOCK_PX):
            mask, replaced = _paint(painters, window)
            file.write(mask, 1, window=rio.Window(window.col, window.row, window.cols, window.rows))
            counts += np.bincount(mask.ravel(), minlength=256)
            contradicted += replaced
    return _report(grid, counts, {name: int(n) for (name, _), n in zip(on_scene, contradicted, strict=True)})


def _paint(painters: Sequence[Painter], window: Window) -> tuple[np.ndarray, np.ndarray]:
    """The mask of a window, uint8; and of each painter the labels of others that it replaced by another class."""
    canvas = np.full((window.rows, window.cols), UNPAINTED, dtype=np.uint16)
    replaced = np.zeros(len(painters), dtype=np.int64)
    for number, painter in enumerate(painters):
        paint = painter.paint(window)
        said = paint != UNPAINTED
        replaced[number] = (said & (canvas < UNLABELLED) & (paint < UNLABELLED) & (paint != canvas)).sum()
        canvas[said] = paint[said]
    background = min((painter.background for painter in painters), default=UNLABELLED)
    canvas[canvas == UNPAINTED] = background
    return canvas.astype(np.uint8), replaced


def _report(grid: Grid, counts: np.ndarray, contradicted: Mapping[str, int]) -> BurnReport:
    """contradicted: by name of a layer, the pixels to which it gave another class than an earlier one."""
    overlaps = tuple(
        Note(
            code="overlapping_layers",
            detail=f"{name!r} gives {pixels} pixels ({pixels / grid.rows / grid.cols:.2%}) another class than before.",
            hint="The later layer counts: put the better one last.",
        )
        for name, pixels in contradicted.items()
        if pixels
    )
    by_value = {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    return BurnReport(by_value, overlaps, labelled=bool(counts[:UNLABELLED].any()))
