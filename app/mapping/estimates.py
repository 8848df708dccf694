"""Estimates: areas and accuracies that the answers to a sample tell of a map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy.orm import Session

from app.mapping import answers, sample_zones, samples
from app.mapping.sample_zones import ZoneEstimate
from app.tables import Sample
from ml.estimation.estimate import SampleEstimates, estimate
from ml.estimation.sample import Floats, Points, Strata
from ml.estimation.sample import Sample as Answered
from ml.estimation.zones import MIN_POINTS
from ml.faults import Note
from ml.sampling.design import DrawnSample, SamplePoint

Used = tuple[SamplePoint, int]  # a point, and the value of its true class


@dataclass(frozen=True)
class Estimated:
    """What a sample tells of a map, and of how many points. notes: What weakens it."""

    drawn: DrawnSample
    found: SampleEstimates
    answered: int
    unusable: int
    left: int
    notes: tuple[Note, ...]
    by_zone: tuple[ZoneEstimate, ...] = ()


def of_sample(
    session: Session,
    sample: Sample,
    labeller: str | None = None,
    zones: str | None = None,
    min_points: int = MIN_POINTS,
) -> Estimated:
    """Estimate the area of each class and the accuracies of the map from the points that have a class.

    labeller: As for `answers.settled`. zones: Zone set by whose zones areas are estimated, too. min_points: That a zone
    needs for an estimate of its own. Raises `NotReady`, `NotFound`, `Conflict`.
    """
    drawn, points = samples.result(session, sample)
    known = answers.settled(session, sample.id, labeller)
    used = _with_class(points, known)
    of_points = answered(sample, drawn, used)
    found = estimate(of_points, len(drawn.frame.classes))
    ids = [point.id for point, _ in used]
    unusable = len(known) - len(used)
    in_training = sum(bool(point.in_training) for point, _ in used)
    return Estimated(
        drawn=drawn,
        found=found,
        by_zone=sample_zones.estimates(
            session, sample, zones, of_points, ids, drawn.frame, drawn.strata, found.rows, min_points
        )
        if zones
        else (),
        answered=len(used),
        unusable=unusable,
        left=len(points) - len(known),
        notes=_notes(len(points), unusable, len(points) - len(known), in_training),
    )


def used_points(session: Session, sample: Sample, labeller: str | None) -> list[Used]:
    """The points of a sample that have a class. labeller: As for `answers.settled`. Raises as that does."""
    _, points = samples.result(session, sample)
    return _with_class(points, answers.settled(session, sample.id, labeller))


def _with_class(points: Sequence[SamplePoint], known: Mapping[int, int | None]) -> list[Used]:
    return [(point, value) for point in points if (value := known.get(point.id)) is not None]


def answered(sample: Sample, drawn: DrawnSample, used: Sequence[Used]) -> Answered:
    """A sample with its points that have a class, for the estimators."""
    classes = [item.value for item in drawn.frame.classes]
    keys = [stratum.key for stratum in drawn.strata]
    clustered = sample.design.kind == "cluster"
    strata = Strata(
        names=tuple(stratum.name for stratum in drawn.strata),
        area_ha=np.array([stratum.area_ha for stratum in drawn.strata]),
        # of a cluster only some pixels are seen, so that the correction would promise too much
        units=None if clustered else np.array([stratum.pixels for stratum in drawn.strata], dtype=np.float64),
    )
    columns = Points(
        stratum=np.array([keys.index(point.stratum) for point, _ in used], dtype=np.int64),
        mapped=np.array([classes.index(point.map_class) for point, _ in used], dtype=np.int64),
        reference=np.array([classes.index(value) for _, value in used], dtype=np.int64),
        cluster=np.array([point.cluster for point, _ in used], dtype=np.int64) if clustered else None,
        size=_sizes(used),
    )
    return Answered(sample.design.kind, strata, columns)


def _sizes(used: Sequence[Used]) -> Floats | None:
    """The areas of the pixels of points; None if they were not kept when the sample was drawn."""
    areas_ha = [point.area_ha for point, _ in used if point.area_ha is not None]
    return np.array(areas_ha) if len(areas_ha) == len(used) else None


def _notes(points: int, unusable: int, left: int, in_training: int) -> tuple[Note, ...]:
    found = []
    if left:
        detail = f"{left} of {points} points have no answer yet: they are left out."
        hint = "Label points in the order of their ids: then those with an answer are a random part of the sample."
        found.append(Note(code="partly_answered", detail=detail, hint=hint))
    if unusable:
        detail = f"{unusable} of {points} points are unusable: they are left out."
        hint = "The estimate is right only if their ground is like that of the others."
        found.append(Note(code="unusable_points", detail=detail, hint=hint))
    if in_training:
        detail = f"{in_training} answered points lie on labels by which the model learnt."
        hint = "The map may be better there than elsewhere. The points stay in the sample, as chance has drawn them."
        found.append(Note(code="points_in_training", detail=detail, hint=hint))
    return tuple(found)
