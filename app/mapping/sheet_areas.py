"""The hectares on a map sheet: those of the map, and estimates from a sample or from the errors of the model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.core.errors import Problem
from app.language.catalogue import chinese
from app.mapping import estimates, samples
from app.mapping.estimates import Estimated
from app.mapping.predictions import Areas
from app.tables import Sample
from ml.estimation.values import Estimate
from ml.figures import Lang
from ml.figures.sheet import AreaLine
from ml.figures.texts import words


@dataclass(frozen=True)
class SheetAreas:
    """The lines of the table, facts and notes about them, and whether the estimates come from a sample."""

    lines: Sequence[AreaLine]
    facts: Sequence[tuple[str, str]]
    notes: Sequence[str]
    sampled: bool


def of_map(
    session: Session,
    map_: str,
    by_zone: Sequence[Areas],
    whole: Sequence[Areas],
    zones: str | None,
    lang: Lang,
    name_of_whole: str,
) -> SheetAreas:
    """The table of a map, whose newest sample with answers gives the estimates, if there is one.

    map_: Id of the prediction or survey. by_zone, whole: What its map has. zones: The zone set of `by_zone`, in which
    the points of the sample were found. name_of_whole: What the lines of `whole` are called, a word of the figures.
    """
    say = words(lang)
    sample = samples.newest_answered(session, map_)
    made = _estimated(session, sample, zones) if sample else None
    rows = [*(each for each in by_zone if each.observed_ha), *whole]
    notes, facts = list[str](), list[tuple[str, str]]()
    if unobserved := {each.zone for each in by_zone if not each.observed_ha}:
        notes.append(say("unobserved zones", count=len(unobserved)))
    if sample and isinstance(made, str):
        notes.append(say("no estimate", id=sample.id, why=_translated(made, lang)))
    if sample and isinstance(made, Estimated):
        facts.append(("sample", say("sample points", id=sample.id, count=made.answered)))
        estimated = dict(_by_place(made))
        found = [(each, estimated.get((each.zone, each.class_name))) for each in rows]
        notes.append(say("sampled"))
        notes += _whys((each.why for _, each in found if each), lang)
        known = [(each, told.value, told.ci95) if told else (each, None, None) for each, told in found]
    else:
        if any(each.adjusted_ha is not None for each in rows):
            notes.append(say("indicative"))
        notes += _whys((each.why for each in rows), lang)
        known = [(each, each.adjusted_ha, each.ci95_ha) for each in rows]
    lines = [
        AreaLine(each.name or each.zone or say(name_of_whole), each.class_name, each.mapped_ha, value, ci95)
        for each, value, ci95 in known
    ]
    return SheetAreas(lines, facts, notes, isinstance(made, Estimated))


def _estimated(session: Session, sample: Sample, zones: str | None) -> Estimated | str:
    """What a sample tells, or why it tells nothing."""
    try:
        return estimates.of_sample(session, sample, zones=zones)
    except Problem as problem:  # disputed answers, for instance
        return problem.detail


def _by_place(made: Estimated) -> Iterator[tuple[tuple[str | None, str], Estimate]]:
    """Yield the estimates with the code of their zone, None for the whole map, and the name of their class."""
    names = [item.name for item in made.drawn.frame.classes]
    for row in made.found.rows:
        yield (None, names[row.class_index]), row.area
    for each in made.by_zone:
        yield (each.zone.code, names[each.row.class_index]), each.row.area


def _whys(reasons: Iterator[str | None], lang: Lang) -> list[str]:
    return [_translated(each, lang) for each in dict.fromkeys(reasons) if each]


def _translated(text: str, lang: Lang) -> str:
    return chinese(text) if lang == "zh" else text
