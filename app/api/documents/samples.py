"""The documents of samples, and of the answers to them."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic import Field

from app import tables
from app.api.documents.base import Document, Page, Software, Title
from app.api.documents.jobs import Job
from app.mapping import answers, sampled_maps
from ml.faults import Note
from ml.sampling.agreement import Agreement
from ml.sampling.design import Design, Expected, Frame, Stratum


class Sample(Document):
    """A probability sample of the map of a prediction, or of the mosaic of a survey.

    `frame`, `strata`, `n`, `software` are null, and `expected` and `notes` empty, until the job has succeeded.
    """

    id: str = Field(description="Id of the sample, which is also the id of its job.")
    map: str = Field(description="Id of the prediction or survey.")
    zones: str | None = Field(None, description="Id of the zone set in each of whose zones it was drawn.")
    design: Design
    title: Title
    created: datetime
    n: int | None = Field(description="Number of points.")
    frame: Frame | None = Field(description="The pixels from which the points were drawn.")
    strata: tuple[Stratum, ...] | None = Field(description="The strata, with the number of points in each.")
    expected: tuple[Expected, ...] = Field(
        description="The standard error to be expected for the area of each class, by the errors of the test split; "
        "of a sample by zone also in each zone."
    )
    why: str | None = Field(description="Why nothing can be expected.")
    notes: tuple[Note, ...]
    software: Software | None
    job: Job

    @classmethod
    def of(cls, row: tables.Sample, work: tables.Job) -> "Sample":
        """The document of the sample in `row`. work: its job."""
        drawn = row.drawn
        return cls(
            id=row.id,
            map=sampled_maps.id_of(row),
            zones=row.zones,
            design=row.design,
            title=row.title,
            created=row.created,
            n=drawn and sum(stratum.n for stratum in drawn.strata),
            frame=drawn and drawn.frame,
            strata=drawn and drawn.strata,
            expected=drawn.expected if drawn else (),
            why=drawn and drawn.why,
            notes=drawn.notes if drawn else (),
            software=drawn and drawn.software,
            job=Job.of(work),
        )


class Samples(Page[Sample]):
    """A page of samples, newest first."""


class Answer(Document):
    """An answer of a labeller to a point."""

    id: int = Field(description="Id of the point.")
    labeller: str
    class_name: str | None = Field(alias="class", description="Name of the class; null if the point is unusable.")
    unusable: str | None = Field(description="Why the point cannot be used.")
    at: datetime


class Labeller(Document):
    """How many points one labeller has answered."""

    labeller: str
    answered: int
    unusable: int
    last: datetime = Field(description="When the last answer came.")


class AnswerReport(Document):
    """How far a sample is labelled. A point about which labellers disagree has no answer yet."""

    points: int
    answered: int = Field(description="Points with a class.")
    unusable: int
    left: int = Field(description="Points without an answer, or with several.")
    disputed: tuple[int, ...] = Field(description="Ids of the points about which labellers disagree.")
    labellers: tuple[Labeller, ...]
    agreement: tuple[Agreement, ...] = Field(description="How well each two labellers agree.")
    changed: int | None = Field(None, description="Answers of this request that are new or other than before.")

    @classmethod
    def of(cls, tally: answers.Tally, changed: int | None = None) -> "AnswerReport":
        """The document of `tally`. changed: As in the field."""
        return cls(**_report(tally), changed=changed)


class Answers(AnswerReport):
    """How far a sample is labelled, and the answers."""

    items: tuple[Answer, ...]

    @classmethod
    def listing(cls, tally: answers.Tally, rows: Sequence[tables.SampleAnswer], frame: Frame) -> "Answers":
        """The document of `tally` with the answers in `rows`. frame: Of the sample, with its classes."""
        names = {item.value: item.name for item in frame.classes}
        items = (
            Answer(
                id=row.point,
                labeller=row.labeller,
                class_name=None if row.value is None else names[row.value],
                unusable=row.unusable,
                at=row.at,
            )
            for row in rows
        )
        return cls(**_report(tally), items=tuple(items))


def _report(tally: answers.Tally) -> dict[str, object]:
    return {
        "points": tally.points,
        "answered": tally.answered,
        "unusable": tally.unusable,
        "left": tally.left,
        "disputed": tally.disputed,
        "labellers": tuple(_labeller(*item) for item in sorted(tally.labellers.items())),
        "agreement": tally.agreements(),
    }


def _labeller(name: str, rows: Mapping[int, tables.SampleAnswer]) -> Labeller:
    usable = sum(row.value is not None for row in rows.values())
    last = max(row.at for row in rows.values())
    return Labeller(labeller=name, answered=usable, unusable=len(rows) - usable, last=last)
