"""The change of areas between two seasons, from two samples, or from two labellings of one sample."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from sqlalchemy.orm import Session

from app.core.errors import invalid, refuse_any
from app.mapping import estimates, sampled_maps, samples
from app.tables import Sample
from ml.estimation.change import PointChange, change_at_points, change_in_zone, change_of_areas
from ml.estimation.estimate import estimate
from ml.estimation.sample import Floats
from ml.estimation.sample import Sample as Answered
from ml.estimation.values import Estimate
from ml.faults import Fault

SAME_GROUND = 0.99  # share of the area of either that both must have in common
SOURCES = {
    "independent": "difference of two independent estimates; interval of Zou and Donner 2008 (doi 10.1002/sim.3095)",
    "same points": "difference at the same points, with their covariance; Cochran 1977, chapter 12",
}


@dataclass(frozen=True)
class Change:
    """The change of the area of one class. earlier, later, change: In hectares. n: Points of both that were used."""

    class_name: str
    earlier: Estimate
    later: Estimate
    change: Estimate
    n: tuple[int, int]
    method: str


def between(
    session: Session, later: Sample, earlier_id: str, labeller: str | None, earlier_labeller: str | None
) -> tuple[Change, ...]:
    """The change of each class from an earlier sample to a later one, of the same ground.

    They are two samples, whose points are independent of each other; or one, whose points `earlier_labeller` and
    `labeller` have labelled as they were in the two seasons.

    Raises `Invalid`, `NotReady`, `NotFound` for a labeller, `Conflict`.
    """
    earlier = session.get(Sample, earlier_id)
    if earlier is None:
        hint = "GET /v1/samples lists the samples."
        raise invalid("unknown-sample", f"There is no sample {earlier_id!r}.", hint, "/earlier")
    refuse_any("invalid-change", _faults(session, later, earlier, labeller, earlier_labeller))
    if earlier.id == later.id:
        return _at_same_points(session, later, labeller, earlier_labeller)
    before, after = (
        estimates.of_sample(session, sample, name) for sample, name in ((earlier, earlier_labeller), (later, labeller))
    )
    rows = zip(before.drawn.frame.classes, before.found.rows, after.found.rows, strict=True)
    n = before.answered, after.answered
    return tuple(
        Change(item.name, one.area, other.area, change_of_areas(one.area, other.area), n, "independent")
        for item, one, other in rows
    )


def _at_same_points(
    session: Session, sample: Sample, labeller: str | None, earlier_labeller: str | None
) -> tuple[Change, ...]:
    """The change of each class, and the areas of both seasons at the very points that tell it."""
    both = at_points(session, sample, labeller, earlier_labeller)
    drawn, _ = samples.result(session, sample)
    classes = drawn.frame.classes
    before, after = (estimate(season, len(classes)).rows for season in (both.earlier, both.later))
    n = len(both.ids), len(both.ids)
    return tuple(
        Change(item.name, one.area, other.area, change.net, n, "same points")
        for item, one, other, change in zip(classes, before, after, both.changes(), strict=True)
    )


@dataclass(frozen=True)
class BothSeasons:
    """The points of a sample that have a class in two seasons.

    earlier, later: The points with their true classes in each season. ids: Ids of the points. classes: Number of
    classes.
    """

    earlier: Answered
    later: Answered
    ids: tuple[int, ...]
    classes: int

    def changes(self) -> Iterator[PointChange]:
        """Yield the change of each class on all ground of the sample."""
        for before, after in self._of_each_class():
            yield change_at_points(self.later, before, after)

    def changes_in(self, points: Collection[int], area_ha: float) -> Iterator[PointChange]:
        """Yield the change of each class in a zone. points: Ids of those in it. area_ha: Its sampled ground."""
        members = np.isin(self.ids, list(points))
        for before, after in self._of_each_class():
            yield change_in_zone(self.later, before, after, area_ha, members)

    def _of_each_class(self) -> Iterator[tuple[Floats, Floats]]:
        """Yield for each class 1 where a point is of it in each season, else 0, shape (points,)."""
        for number in range(self.classes):
            before, after = (season.points.reference == number for season in (self.earlier, self.later))
            yield before.astype(np.float64), after.astype(np.float64)


def at_points(session: Session, sample: Sample, labeller: str | None, earlier_labeller: str | None) -> BothSeasons:
    """The points of a sample that two labellers have labelled as they were in two seasons. Raises as `between`."""
    seasons = [estimates.used_points(session, sample, name) for name in (earlier_labeller, labeller)]
    common = set.intersection(*({point.id for point, _ in used} for used in seasons))
    both = [[(point, value) for point, value in used if point.id in common] for used in seasons]
    drawn, _ = samples.result(session, sample)
    earlier, later = (estimates.answered(sample, drawn, used) for used in both)
    return BothSeasons(earlier, later, tuple(point.id for point, _ in both[1]), len(drawn.frame.classes))


def _faults(
    session: Session, later: Sample, earlier: Sample, labeller: str | None, earlier_labeller: str | None
) -> Iterator[Fault]:
    if later.id == earlier.id:
        if labeller is None or earlier_labeller is None or labeller == earlier_labeller:
            hint = "Say labeller and earlier_labeller: who labelled the points as they were in each season."
            yield Fault("same_labels", "A sample has no change to itself.", hint, "/earlier_labeller")
        return
    (one, _), (other, _) = (samples.result(session, sample) for sample in (earlier, later))
    names = [[item.name for item in drawn.frame.classes] for drawn in (one, other)]
    if names[0] != names[1]:
        detail = f"The maps have other classes: {', '.join(names[0])}; and {', '.join(names[1])}."
        yield Fault("other_classes", detail, "Compare samples of maps with the same classes.", "/earlier")
    if not _same_ground(session, earlier, later) or not _alike(one.frame.area_ha, other.frame.area_ha):
        detail = f"The samples are of {one.frame.area_ha:,.1f} ha and of {other.frame.area_ha:,.1f} ha of other ground."
        hint = "A change needs the same ground in both seasons: cut the scenes to it, map them, and draw new samples."
        yield Fault("other_ground", detail, hint, "/earlier")


def _same_ground(session: Session, *both: Sample) -> bool:
    """Whether the maps of two samples have nearly the same outline."""
    ids = [sampled_maps.id_of(sample) for sample in both]
    if ids[0] == ids[1]:
        return True
    return sampled_maps.same_ground(session, [sampled_maps.get(session, id_) for id_ in ids], SAME_GROUND)


def _alike(one_ha: float, other_ha: float) -> bool:
    return min(one_ha, other_ha) >= SAME_GROUND * max(one_ha, other_ha)
