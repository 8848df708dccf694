"""The finest strata of a map, one for each class in each zone, and how those that are too small are merged."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby

from ml.zones.numbering import NO_ZONE

LEAST_PIXELS = 10
Key = tuple[int, int]


@dataclass(frozen=True)
class Cell:
    """The pixels of a class in a zone. zone: Number of the zone from 1, or `NO_ZONE`. value: Of the class."""

    zone: int
    value: int
    pixels: int
    area_ha: float

    @property
    def key(self) -> Key:
        """Zone and class."""
        return self.zone, self.value


def cells_of(pixels: Mapping[Key, int], area_ha: Mapping[Key, float]) -> tuple[Cell, ...]:
    """The cells that have pixels, zone by zone and class by class. pixels, area_ha: By zone and class."""
    return tuple(Cell(*key, pixels[key], area_ha[key]) for key in sorted(pixels) if pixels[key])


@dataclass(frozen=True)
class Group:
    """The cells of one stratum. zone: The zone that the stratum belongs to; `NO_ZONE` for all ground outside."""

    zone: int
    cells: tuple[Cell, ...]

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return sum(cell.pixels for cell in self.cells)

    @property
    def area_ha(self) -> float:
        """Hectares on the map."""
        return sum(cell.area_ha for cell in self.cells)

    @property
    def values(self) -> list[int]:
        """The values of its classes, that of the largest first where some were merged."""
        return list(dict.fromkeys(cell.value for cell in self.cells))


def strata_of(cells: Iterable[Cell], least: int = LEAST_PIXELS) -> tuple[Group, ...]:
    """Each cell as a stratum, but those with fewer than `least` pixels merged with others.

    Of a stratum of a few pixels, one answer that nobody can give leaves too little to estimate from, and that is
    noticed after weeks of work. A class becomes part of the largest stratum of its zone. A zone that is smaller itself
    becomes part of the ground outside all zones, class by class, and this, if it is still smaller, of the largest
    stratum of all. So every stratum of a map with that many pixels has them.
    """
    by_zone = {zone: [*found] for zone, found in groupby(sorted(cells, key=lambda each: each.key), lambda c: c.zone)}
    small = [zone for zone, found in by_zone.items() if zone != NO_ZONE and _size(found) < least]
    outside = [cell for zone in (NO_ZONE, *small) for cell in by_zone.pop(zone, [])]
    grouped = [group for zone, found in by_zone.items() for group in _merged(zone, found, least)]
    if not grouped or _size(outside) >= least:
        return (*_merged(NO_ZONE, outside, least), *grouped)
    largest = max(grouped, key=lambda group: group.pixels)
    return tuple(replace(each, cells=(*each.cells, *outside)) if each is largest else each for each in grouped)


def _merged(zone: int, found: Iterable[Cell], least: int) -> list[Group]:
    """The strata of one zone by class, the small ones as parts of the largest."""
    in_order = sorted(found, key=lambda each: (each.value, each.zone))
    groups = [Group(zone, tuple(cells)) for _, cells in groupby(in_order, key=lambda each: each.value)]
    if not groups:
        return []
    largest = max(groups, key=lambda group: group.pixels)
    small = [group for group in groups if group is not largest and group.pixels < least]
    joined = replace(largest, cells=(*largest.cells, *(cell for group in small for cell in group.cells)))
    return [joined if group is largest else group for group in groups if group not in small]


def _size(found: Iterable[Cell]) -> int:
    return sum(cell.pixels for cell in found)


def merged_away(groups: Iterable[Group]) -> Iterator[Cell]:
    """Yield the cells that are no stratum of their own: the smaller ones of those whose stratum has several."""
    for group in groups:
        yield from sorted(group.cells, key=lambda each: -each.pixels)[1:]
