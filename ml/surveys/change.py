"""How the classes of two mosaics differ, in hectares: what each class has gained and lost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from pydantic import Field

from ml.bounded import Hectares
from ml.contract import MAP_NODATA, ClassDef
from ml.faults import Fault, InputRefused
from ml.frozen import Frozen
from ml.geo.areas_by_pixel import areas_by_pixel_ha
from ml.geo.raster import LEAST_CACHE
from ml.geo.windows import Window, blocks
from ml.progress import Tick, still
from ml.surveys.target import target_grid
from ml.surveys.warped import WarpedMaps, grid_of_map
from ml.zones.areas import ClassesByZone, values_by_zone
from ml.zones.read import Zones

MOST_CLASSES = 15  # pairs of them must be told apart by a byte
ONLY_EARLIER, ONLY_LATER = 253, 254  # observed in one of both mosaics
_BLOCK_PX = 1024


class Transitions(Frozen):
    """Hectares by transition: 15 i + j is ground of the i-th class in the earlier and of the j-th in the later mosaic.

    whole: Of all ground of both mosaics; None if it was measured by zone. by_zone: Of each zone; None without zones.
    """

    whole: dict[int, Hectares] | None = Field(None, max_length=256)
    by_zone: ClassesByZone | None = None


@dataclass(frozen=True)
class Change:
    """The change of one class, in hectares of ground that both mosaics have observed.

    gain_ha, loss_ha: Of the class later and not earlier, and the other way round. earlier_ha, later_ha: Of the class in
    each. observed_ha: Ground that both have observed. only_earlier_ha, only_later_ha: Ground that one of them has.
    """

    gain_ha: float
    loss_ha: float
    earlier_ha: float
    later_ha: float
    observed_ha: float
    only_earlier_ha: float
    only_later_ha: float

    @property
    def net_ha(self) -> float:
        """What the class has gained less what it has lost."""
        return self.gain_ha - self.loss_ha


def class_faults(earlier: Sequence[ClassDef], later: Sequence[ClassDef]) -> tuple[Fault, ...]:
    """Why maps of these classes cannot be compared: other_classes, too_many_classes."""
    names = [sorted(item.name for item in classes) for classes in (earlier, later)]
    if names[0] != names[1]:
        detail = f"The maps have other classes: {', '.join(names[0])}, and {', '.join(names[1])}."
        return (Fault("other_classes", detail, "Compare surveys of models with classes of the same names."),)
    if len(later) > MOST_CLASSES:
        detail = f"The maps have {len(later)} classes, over {MOST_CLASSES}."
        return (Fault("too_many_classes", detail, "Compare maps of fewer classes."),)
    return ()


def transitions(
    earlier: Path,
    later: Path,
    classes: tuple[Sequence[ClassDef], Sequence[ClassDef]],
    zones: Zones | None = None,
    tick: Tick = still,
) -> Transitions:
    """Measure the transitions between two mosaics, on the grid of the later one, extended to both.

    earlier, later: Paths of class maps, uint8. classes: Of each of them; classes of the same name are one, numbered as
    in `classes[1]`. zones: Measure by them, with exact shares of pixels. tick: Called before each window.

    Raises:
        InputRefused: As `class_faults` and `target_grid`.
    """
    if faults := class_faults(*classes):
        raise InputRefused(*faults)
    grids = [grid_of_map(path) for path in (earlier, later)]
    grid = target_grid([grids[1], grids[0]], grids[1].crs)
    tables = [_indices(each, classes[1]) for each in classes]
    windows = blocks(grid.rows, grid.cols, block_px=_BLOCK_PX)
    with rasterio.Env(GDAL_CACHEMAX=4 * LEAST_CACHE), WarpedMaps((earlier, later), grids, grid) as warped:

        def read(window: Window) -> NDArray[np.uint8]:
            return _transitions(*(table[_read(warped, number, window)] for number, table in enumerate(tables)))

        if zones is not None:
            return Transitions(by_zone=values_by_zone(grid, zones, windows, read, tick))
        total_ha = np.zeros(256)
        for window in windows:
            tick()
            if warped.near(window):
                hectares = areas_by_pixel_ha(grid, window)
                total_ha += np.bincount(read(window).ravel(), hectares.ravel(), minlength=256)
    return Transitions(whole={int(code): float(total_ha[code]) for code in np.flatnonzero(total_ha[:MAP_NODATA])})


def change_of(area_ha: Mapping[int, float], index: int) -> Change:
    """The change of the class with this index. area_ha: Hectares by transition."""
    pairs = {divmod(code, MOST_CLASSES): size for code, size in area_ha.items() if code < ONLY_EARLIER}
    return Change(
        gain_ha=sum(size for (was, is_), size in pairs.items() if was != index == is_),
        loss_ha=sum(size for (was, is_), size in pairs.items() if was == index != is_),
        earlier_ha=sum(size for (was, _), size in pairs.items() if was == index),
        later_ha=sum(size for (_, is_), size in pairs.items() if is_ == index),
        observed_ha=sum(pairs.values()),
        only_earlier_ha=area_ha.get(ONLY_EARLIER, 0.0),
        only_later_ha=area_ha.get(ONLY_LATER, 0.0),
    )


def _indices(classes: Sequence[ClassDef], order: Sequence[ClassDef]) -> NDArray[np.uint8]:
    """A table from values of a map to the places of their classes in `order`; `MAP_NODATA` for all others."""
    table = np.full(256, MAP_NODATA, np.uint8)
    place = {item.name: number for number, item in enumerate(order)}
    for item in classes:
        table[item.value] = place[item.name]
    return table


def _read(warped: WarpedMaps, number: int, window: Window) -> NDArray[np.uint8]:
    classes = np.full((window.rows, window.cols), MAP_NODATA, np.uint8)
    part, values, inside = warped.read(number, window)
    classes[part.within(window).slices][inside] = values[inside]
    return classes


def _transitions(was: NDArray[np.uint8], is_: NDArray[np.uint8]) -> NDArray[np.uint8]:
    seen_before, seen_after = was != MAP_NODATA, is_ != MAP_NODATA
    both = seen_before & seen_after
    codes = np.full(was.shape, MAP_NODATA, np.uint8)
    codes[seen_before], codes[seen_after] = ONLY_EARLIER, ONLY_LATER
    codes[both] = MOST_CLASSES * was[both] + is_[both]
    return codes
