"""Samples in zones: which points lie in each zone, and the estimates of zones as domains of the sample."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy.orm import Session

from app.core.errors import NotFound
from app.mapping import sampled_maps, samples, zone_areas, zones
from app.services import Services
from app.storage import Stored
from app.tables import Sample, SampleZones, ZoneSet
from ml.estimation.benchmark import benchmarked
from ml.estimation.estimate import estimate
from ml.estimation.rows import AreaRow
from ml.estimation.sample import Floats
from ml.estimation.sample import Sample as Answered
from ml.estimation.zones import Zones
from ml.sampling.design import Frame, Stratum
from ml.zones.inspect import Zone

_REST = 1e-4  # share of the map: less than that outside all zones is rounding
_LEAST = 1e-4  # share of a zone to which an estimate of 0 is raised before it is scaled: no factor changes 0


@dataclass(frozen=True)
class Task:
    """What must be found. map: The class map in the store. rows, cols: Pixels of the points, in the order of ids."""

    sample: str
    zones: ZoneSet
    map: Stored
    rows: tuple[int, ...]
    cols: tuple[int, ...]


@dataclass(frozen=True)
class ZoneEstimate:
    """The estimated area of one class in a zone.

    mapped_ha: Hectares of the class on the map there. benchmarked_ha: The estimate, scaled so that the zones of its
    level add up to the whole sample's, class by class; None if they cannot.
    """

    zone: Zone
    row: AreaRow
    mapped_ha: float
    benchmarked_ha: float | None


def task(services: Services, id_: str, name: str) -> Task | None:
    """What must be found for the estimates of a sample in a zone set; None if that was done.

    Raises `NotFound`, `NotReady`, or `Invalid` for unknown zones.
    """
    with services.database.read() as session:
        sample, found = samples.get(session, id_), zone_areas.known_zones(session, name)
        _, points = samples.result(session, sample)
        if session.get(SampleZones, (id_, name)) is not None:
            return None
        source = sampled_maps.get(session, sampled_maps.id_of(sample))
    map_ = sampled_maps.stored(services, source.id, source.file)
    in_order = sorted(points, key=lambda point: point.id)
    return Task(id_, found, map_, *(tuple(getattr(point, name) for point in in_order) for name in ("row", "col")))


def find(services: Services, wanted: Task) -> None:
    """Find in which zones the points of a sample lie, in a child process, and record it.

    Raises `Busy`, or `InputRefused` if that exceeds the limits of an inspection.
    """
    with zone_areas.taken(services, wanted.zones.object, wanted.map.object) as (source, map_):
        found = services.inspector.zones_of_pixels(source, wanted.zones.options, map_, wanted.rows, wanted.cols)
    zone_areas.record(services, SampleZones(sample=wanted.sample, zones=wanted.zones.id, places=found), wanted.zones)


def estimates(
    session: Session,
    sample: Sample,
    name: str,
    answered: Answered,
    ids: Sequence[int],
    frame: Frame,
    strata: Sequence[Stratum],
    whole: Sequence[AreaRow],
    min_points: int,
) -> tuple[ZoneEstimate, ...]:
    """The area of each class in each zone, in the order of the zones, once the points were found in them.

    The zones of each level, like counties and townships, are estimated by themselves.

    answered: The points with a class. ids: Their ids. strata: Of the sample. whole: The rows of all ground. Raises
    `NotFound`.
    """
    found, places = zones.get(session, name), session.get(SampleZones, (sample.id, name))
    measured = sampled_maps.by_zone(session, sampled_maps.get(session, sampled_maps.id_of(sample)), name)
    if places is None or measured is None:  # one of them was deleted a moment ago
        raise NotFound("zone set", name)
    mapped_by_code, places_by_code = measured.by_code, places.places.by_code
    levels = _levels(found.zones)
    own = _own_strata(found.zones, strata if sample.zones == name else ())
    rows: dict[int, list[ZoneEstimate]] = {}
    for level in sorted(set(levels)):
        numbers = [number for number, each in enumerate(levels) if each == level]
        of_level = [found.zones[number] for number in numbers]
        mapped_ha = np.array(
            [[mapped_by_code.get(zone.code, {}).get(item.value, 0.0) for item in frame.classes] for zone in of_level]
        )
        members = np.array([np.isin(ids, np.array(places_by_code.get(zone.code, ())) + 1) for zone in of_level]).T
        estimated = _of_level(of_level, mapped_ha, members, own[numbers], answered, frame, whole, min_points)
        rows.update(zip(numbers, estimated, strict=True))
    return tuple(each for number in sorted(rows) for each in rows[number])


def _own_strata(zone_list: Sequence[Zone], strata: Sequence[Stratum]) -> np.ndarray:
    """Which strata lie in each zone or in its parts, bool, shape (zones, strata)."""
    parents = {zone.code: zone.parent for zone in zone_list}

    def within(code: str | None) -> Iterator[str]:
        while code in parents:
            yield code
            code = parents[code]

    above = [set(within(stratum.zone)) for stratum in strata]
    found = [[zone.code in each for each in above] for zone in zone_list]
    return np.array(found, dtype=bool).reshape(len(zone_list), len(strata))


def _levels(zone_list: Sequence[Zone]) -> list[int]:
    """How many zones of the set each zone is a part of."""
    parents = {zone.code: zone.parent for zone in zone_list}

    def above(code: str) -> int:
        parent = parents[code]
        return 1 + above(parent) if parent in parents else 0

    return [above(zone.code) for zone in zone_list]


def _of_level(
    of_level: Sequence[Zone],
    mapped_ha: Floats,
    members: np.ndarray,
    own: np.ndarray,
    answered: Answered,
    frame: Frame,
    whole: Sequence[AreaRow],
    min_points: int,
) -> Iterator[list[ZoneEstimate]]:
    """Yield the estimates of each zone. mapped_ha: Shape (zones, classes). members: Bool, shape (points, zones).

    own: The strata that each zone has for itself, bool, shape (zones, strata). Where a point of theirs lies elsewhere,
    as zones overlap or were too small for strata, the zone is estimated as if it had none.
    """
    own = own & (own[:, answered.points.stratum] == members.T).all(axis=1)[:, None] if own.size else own
    classes = len(frame.classes)
    rest_ha = np.maximum(np.array([frame.class_area_ha[item.value] for item in frame.classes]) - mapped_ha.sum(0), 0)
    outside = rest_ha.sum() > _REST * frame.area_ha
    if outside:
        mapped_ha = np.concatenate([mapped_ha, rest_ha[None]])
        members = np.concatenate([members, ~members.any(axis=1, keepdims=True)], axis=1)
        own = np.concatenate([own, np.zeros((1, own.shape[1]), dtype=bool)])
    domains = Zones(mapped_ha=mapped_ha, members=members, strata=own)
    rows = estimate(answered, classes, zones=domains, min_points=min_points).rows[classes:]
    twice = (members.sum(axis=1) > 1).any() or any(zone.overlap_ha for zone in of_level)
    scaled = {} if twice else _scaled(rows, mapped_ha.sum(axis=1), whole)
    for index, zone in enumerate(of_level):
        yield [
            ZoneEstimate(zone, row, float(mapped_ha[index, row.class_index]), scaled.get((index, row.class_index)))
            for row in rows[index * classes : (index + 1) * classes]
        ]


def _scaled(rows: Sequence[AreaRow], zones_ha: Floats, whole: Sequence[AreaRow]) -> Mapping[tuple[int, int], float]:
    """The areas by zone and class that add up to the `whole`, by their indices; empty if they cannot."""
    if any(row.area.value is None for row in whole):
        return {}
    classes_ha = np.array([row.area.value for row in whole], dtype=np.float64)
    seen = [_scalable(row, zones_ha[row.zone]) for row in rows if row.zone is not None and zones_ha[row.zone] > 0]
    zones_ha = zones_ha[zones_ha > 0]
    try:
        found = benchmarked(seen, zones_ha * (classes_ha.sum() / zones_ha.sum()), classes_ha)
    except ValueError:
        return {}
    return {(row.zone or 0, row.class_index): row.area.value or 0.0 for row in found}


def _scalable(row: AreaRow, zone_ha: float) -> AreaRow:
    if row.area.value is None:
        return row
    return replace(row, area=replace(row.area, value=max(row.area.value, _LEAST * zone_ha)))
