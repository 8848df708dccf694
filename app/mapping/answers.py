"""Answers: what labellers have found at the points of samples. Nothing of it is ever forgotten or trained on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.columns import now
from app.core.errors import Conflict, NotFound
from app.core.preconditions import ANY, IfMatch
from app.jobs import lifecycle
from app.mapping import samples
from app.services import Services
from app.tables import Sample, SampleAnswer
from ml.contract import ClassDef
from ml.faults import Fault
from ml.sampling.agreement import Agreement, agreements
from ml.sampling.answer_files import Answer, Places

MOST_ANSWERS = 100_000  # of one sample, changes included
AGREED = "agreed"  # the labeller whose answers count before those of all others
Reader = Callable[[Places, Sequence[ClassDef]], list[Answer]]
_SETTLE = f"Estimate by one labeller, ?labeller=NAME, or put what holds as the answers of ?labeller={AGREED}."


@dataclass(frozen=True)
class Tally:
    """How far a sample is labelled.

    points: Of the sample. answered: Those with a class. unusable: Those that cannot be used. disputed: Ids of those
    about which labellers disagree. labellers: The newest answers of each, by name and point. classes: Values of the
    classes of the map.
    """

    points: int
    answered: int
    unusable: int
    disputed: tuple[int, ...]
    labellers: Mapping[str, Mapping[int, SampleAnswer]]
    classes: tuple[int, ...]

    @property
    def left(self) -> int:
        """Number of points without an answer, or with several."""
        return self.points - self.answered - self.unusable

    def agreements(self) -> tuple[Agreement, ...]:
        """How well each two labellers agree, but the one whose answers settle the others'."""
        given = {
            name: {str(point): self.classes.index(row.value) for point, row in rows.items() if row.value is not None}
            for name, rows in sorted(self.labellers.items())
            if name != AGREED
        }
        return agreements(given, len(self.classes))


def put(services: Services, id_: str, labeller: str, read: Reader, if_match: IfMatch = ANY) -> int:
    """Record answers of a labeller; returns how many are new or other than before. Other points keep theirs.

    read: Reads the answers, given row and column of the points by id, and the classes of the map.

    Nothing is recorded if it raises: `NotFound`, `NotReady`, `PreconditionFailed`, `Conflict` for too many answers, or
    `InputRefused` with all faults.
    """
    with services.database.read() as session:
        drawn, points = samples.result(session, samples.get(session, id_))
    answers = read({point.id: (point.row, point.col) for point in points}, drawn.frame.classes)
    with services.database.write() as session:
        job = lifecycle.locked(session, id_)  # two who send answers at once wait for each other
        if_match.check(job.tag)
        every = history(session, id_)
        before = newest(every).get(labeller, {})
        changed = [answer for answer in answers if _differs(answer, before.get(answer.point))]
        _check_room(len(every) + len(changed))
        session.add_all(
            SampleAnswer(
                sample=id_, labeller=labeller, point=answer.point, value=answer.value, unusable=answer.unusable
            )
            for answer in changed
        )
        if changed:
            job.updated = now()
            job.revision += 1
        return len(changed)


def _check_room(count: int) -> None:
    if count > MOST_ANSWERS:
        detail = f"The sample would have {count} answers with all their history; it may have {MOST_ANSWERS}."
        raise Conflict("too-many-answers", f"{detail} Draw another sample.")


def _differs(answer: Answer, before: SampleAnswer | None) -> bool:
    return before is None or (before.value, before.unusable) != (answer.value, answer.unusable)


def history(session: Session, id_: str) -> Sequence[SampleAnswer]:
    """All answers that were ever given to a sample, oldest first."""
    return session.scalars(select(SampleAnswer).where(SampleAnswer.sample == id_).order_by(SampleAnswer.id)).all()


def newest(every: Sequence[SampleAnswer]) -> dict[str, dict[int, SampleAnswer]]:
    """The newest answer of each labeller to each point. every: All answers, oldest first."""
    found: dict[str, dict[int, SampleAnswer]] = {}
    for row in every:
        found.setdefault(row.labeller, {})[row.point] = row
    return found


def tally(session: Session, sample: Sample) -> Tally:
    """How far a sample is labelled. Raises `NotReady`."""
    drawn, points = samples.result(session, sample)
    labellers = newest(history(session, sample.id))
    known, disputed = _settled(labellers)
    usable = sum(value is not None for value in known.values())
    classes = tuple(item.value for item in drawn.frame.classes)
    return Tally(len(points), usable, len(known) - usable, tuple(disputed), labellers, classes)


def settled(session: Session, id_: str, labeller: str | None) -> dict[int, int | None]:
    """The class value of each point that has an answer; None for unusable ones.

    labeller: Whose answers count. None: those that all agree about, and those of `AGREED` before all others.

    Raises `NotFound` for an unknown labeller, `Conflict` if labellers disagree.
    """
    labellers = newest(history(session, id_))
    if labeller is not None:
        if labeller not in labellers:
            raise NotFound("labeller", labeller)
        return {point: row.value for point, row in labellers[labeller].items()}
    known, disputed = _settled(labellers)
    if disputed:
        faults = (Fault("disputed", f"Labellers disagree about point {point}.", _SETTLE) for point in disputed)
        raise Conflict("disputed-answers", f"Labellers disagree about {len(disputed)} points. {_SETTLE}", *faults)
    return known


def _settled(labellers: Mapping[str, Mapping[int, SampleAnswer]]) -> tuple[dict[int, int | None], list[int]]:
    """What is known of points by all labellers together, and the points about which they disagree."""
    given: dict[int, set[int | None]] = {}
    for name, rows in labellers.items():
        for point, row in rows.items() if name != AGREED else ():
            given.setdefault(point, set()).add(row.value)
    for point, row in labellers.get(AGREED, {}).items():
        given[point] = {row.value}
    known = {point: next(iter(values)) for point, values in given.items() if len(values) == 1}
    return known, sorted(given.keys() - known.keys())
