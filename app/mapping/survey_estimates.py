"""What samples of two surveys tell of the change between them: gain, loss and net change, each with its interval."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.core.errors import Problem, refuse_any
from app.mapping import changes, estimates, sampled_maps, samples
from app.mapping.changes import SAME_GROUND, BothSeasons
from app.mapping.survey_areas import EstimatedChange, Told
from app.tables import Sample, SampleZones, Survey
from ml.estimation.change import PointChange, change_of_areas
from ml.estimation.values import Estimate, nothing
from ml.estimation.zones import MIN_POINTS
from ml.faults import Fault
from ml.surveys.change import Change
from ml.zones.areas import ClassesByZone, observed_ha
from ml.zones.inspect import Zone

NO_SAMPLE = (
    "No interval: it needs answers for both seasons. Draw a sample of each survey and label it, or label the points "
    "of one sample for both seasons, by two names. Errors of both maps look like change, so this is what the maps say, "
    "and no estimate of what has changed."
)
ONLY_NET = (
    "Two samples tell the net change alone. For gain and loss, let two labellers label the points of one sample as "
    "they were in each season."
)


@dataclass(frozen=True)
class Named:
    """The samples and labellers that somebody asks for; None for those that are found by themselves."""

    later: str | None = None
    earlier: str | None = None
    labeller: str | None = None
    earlier_labeller: str | None = None


@dataclass(frozen=True)
class Pair:
    """A sample of each season, and whose answers count. They are one if its points were labelled for both seasons.

    asked: Whether somebody has named samples or labellers, and is told what is wrong with them.
    """

    earlier: Sample
    later: Sample
    labeller: str | None = None
    earlier_labeller: str | None = None
    asked: bool = True

    @property
    def one(self) -> bool:
        """Whether it is the same sample."""
        return self.earlier.id == self.later.id


def pair_of(session: Session, survey: Survey, earlier: Survey, named: Named) -> Pair | None:
    """The samples that tell the change between two surveys; None if there are none with answers.

    Those that are not named are the newest samples of each survey that have answers. Raises `Invalid` for named ones
    that tell nothing of these surveys.
    """
    if named.later is None and named.earlier is None:
        found = [samples.newest_answered(session, each.id) for each in (earlier, survey)]
        if found[0] is None or found[1] is None:
            return None
        asked = (named.labeller or named.earlier_labeller) is not None
        return Pair(found[0], found[1], named.labeller, named.earlier_labeller, asked)
    refuse_any("invalid-samples", _faults(session, survey, earlier, named))
    ids = named.earlier or named.later, named.later or named.earlier
    before, after = (session.get_one(Sample, id_) for id_ in ids)
    return Pair(before, after, named.labeller, named.earlier_labeller)


def _faults(session: Session, survey: Survey, earlier: Survey, named: Named) -> Iterator[Fault]:
    one = named.later is None or named.earlier is None or named.later == named.earlier
    allowed = {
        "/sample": (survey.id, earlier.id) if one else (survey.id,),
        "/earlier_sample": (survey.id, earlier.id) if one else (earlier.id,),
    }
    for place, id_ in (("/sample", named.later), ("/earlier_sample", named.earlier)):
        sample = None if id_ is None else session.get(Sample, id_)
        if id_ is not None and sample is None:
            yield Fault("unknown_sample", f"There is no sample {id_!r}.", "GET /v1/samples lists the samples.", place)
        elif sample is not None and sampled_maps.id_of(sample) not in allowed[place]:
            detail = f"Sample {id_!r} was drawn from {sampled_maps.id_of(sample)!r}."
            yield Fault("other_map", detail, f"Name a sample of {' or '.join(allowed[place])}.", place)
    if one and (named.labeller is None or named.earlier_labeller in (None, named.labeller)):
        hint = "Say labeller and earlier_labeller: who labelled the points as they were in each season."
        yield Fault("same_labels", "A sample has no change to itself.", hint, "/earlier_labeller")


def told_by(session: Session, pair: Pair | None, zones: str | None) -> Told:
    """A function that tells the change of a class, in all or in a zone, or why it cannot be told.

    It takes the name of the class, its change on both maps, and the zone. zones: The zone set, in which the points of
    the samples were found. Raises as `changes.between` if somebody has named the samples.
    """
    if pair is None:
        return _saying(NO_SAMPLE)
    try:
        of_class = _at_points(session, pair, zones) if pair.one else _of_two(session, pair, zones)
    except Problem as problem:  # disputed answers, for instance
        if pair.asked:
            raise
        return _saying(f"No interval: {problem.detail}")

    def told(name: str, change: Change, zone: Zone | None) -> EstimatedChange | str:
        alone = change.only_earlier_ha + change.only_later_ha
        if alone > (1 - SAME_GROUND) * (change.observed_ha + alone):
            return (
                f"No interval: only one of the surveys has observed {alone:,.1f} ha of it, and estimates need the same "
                "ground in both. Map the same scenes in both seasons, or take zones that both have observed."
            )
        return of_class(name, zone)

    return told


def _saying(why: str) -> Told:
    return lambda name, change, zone: why


OfClass = Callable[[str, Zone | None], EstimatedChange | str]


def _at_points(session: Session, pair: Pair, zones: str | None) -> OfClass:
    sample = pair.later
    both = changes.at_points(session, sample, pair.labeller, pair.earlier_labeller)
    drawn, _ = samples.result(session, sample)
    names = [item.name for item in drawn.frame.classes]
    measured = _measured(session, sample, zones) if zones else None
    whole = dict(zip(names, both.changes(), strict=True))
    of_zone: dict[str, tuple[int, dict[str, PointChange]]] = {}

    def told(name: str, zone: Zone | None) -> EstimatedChange | str:
        if zone is None or measured is None:
            return EstimatedChange(whole[name], (len(both.ids),) * 2, "same points")
        if zone.code not in of_zone:
            of_zone[zone.code] = _in_zone(both, names, *measured, zone.code)
        count, found = of_zone[zone.code]
        if count < MIN_POINTS:
            return _too_few(count)
        return EstimatedChange(found[name], (count, count), "same points")

    return told


def _in_zone(
    both: BothSeasons, names: list[str], places: Mapping[str, tuple[int, ...]], mapped: ClassesByZone, code: str
) -> tuple[int, dict[str, PointChange]]:
    """The number of points in a zone, and the change of each class there."""
    inside = {index + 1 for index in places.get(code, ())}
    area_ha = observed_ha(mapped.by_code.get(code, {}))
    count = len(inside.intersection(both.ids))
    return count, dict(zip(names, both.changes_in(inside, area_ha), strict=True)) if count >= MIN_POINTS else {}


def _measured(
    session: Session, sample: Sample, zones: str
) -> tuple[Mapping[str, tuple[int, ...]], ClassesByZone] | None:
    """Which points lie in each zone, and what the map has there; None if one of them was deleted a moment ago."""
    places = session.get(SampleZones, (sample.id, zones))
    mapped = sampled_maps.by_zone(session, sampled_maps.get(session, sampled_maps.id_of(sample)), zones)
    return None if places is None or mapped is None else (places.places.by_code, mapped)


def _of_two(session: Session, pair: Pair, zones: str | None) -> OfClass:
    before, after = (
        estimates.of_sample(session, sample, labeller, zones)
        for sample, labeller in ((pair.earlier, pair.earlier_labeller), (pair.later, pair.labeller))
    )
    tables = [_rows(made) for made in (before, after)]

    def told(name: str, zone: Zone | None) -> EstimatedChange | str:
        key = (zone.code if zone else None), name
        (one, n_one, few_one), (other, n_other, few_other) = (table[key] for table in tables)
        if few_one or few_other:
            return _too_few(min(n_one, n_other))
        missing = nothing(ONLY_NET)
        change = PointChange(missing, missing, change_of_areas(one, other))
        return EstimatedChange(change, (n_one, n_other), "independent")

    return told


def _rows(made: estimates.Estimated) -> dict[tuple[str | None, str], tuple[Estimate, int, bool]]:
    """The estimated area, the number of points, and whether they are too few, by zone and class."""
    names = [item.name for item in made.drawn.frame.classes]
    rows = [(None, row) for row in made.found.rows] + [(each.zone.code, each.row) for each in made.by_zone]
    return {(zone, names[row.class_index]): (row.area, row.points, row.too_few) for zone, row in rows}


def _too_few(count: int) -> str:
    return f"No interval: {count} points with answers lie in the zone, and {MIN_POINTS} are needed. Draw more points."
