"""Samples: draw points of a class map or mosaic, and flag those that lie on labels of the model's training."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from sqlalchemy.orm import Session

from app.learning import registry
from app.mapping import sampled_maps, samples, zones
from app.services import Services
from app.storage import Stored
from ml.faults import Note
from ml.sampling.design import SamplePoint
from ml.sampling.sample import draw_sample
from ml.sampling.sources import with_scenes
from ml.sampling.training_labels import labelled
from ml.zones.read import Zones
from worker import scratch
from worker.context import JobContext, Outcome

UNKNOWN = Note(
    code="training_unknown",
    detail="It is not known which points lie on labels of the model's training, because its dataset is not here.",
)


def run(services: Services, context: JobContext, folder: Path) -> Outcome:
    """Draw the sample of the job. The outcome has no files. folder: scratch folder, beside which the inputs are."""
    with services.database.read() as session:
        sample = samples.get(session, context.claim.job_id)
        source = sampled_maps.get(session, sampled_maps.id_of(sample))
        classes = registry.get(session, source.row.model, str(source.row.version)).contract.classes
        rates, masks = samples.error_rates(session, source), samples.training_masks(session, source)
        layer = zones.get(session, sample.zones) if sample.zones else None
    take = scratch.fetcher(services.store, folder)

    def taken(name: str) -> Path:
        return take(sampled_maps.stored(services, source.id, name).object)

    probability = taken(sampled_maps.PROBABILITY) if sample.design.strata == "probability" else None
    by_zone = None if layer is None else Zones(take(layer.object), layer.options)
    map_ = taken(source.file)
    drawn, points = draw_sample(map_, classes, sample.design, rates, context.watch, probability, by_zone)
    if sample.survey is not None:
        points = with_scenes(points, taken(sampled_maps.SOURCES))
    flagged, of_training = _flagged(points, None if masks is None else [take(key) for key in masks])
    notes = (*drawn.notes, *of_training)
    for note in notes:
        context.log(f"note: {note.detail}")

    def record(session: Session, stored: Mapping[str, Stored]) -> None:
        row = samples.get(session, sample.id)
        row.drawn, row.points = drawn.model_copy(update={"notes": notes}), list(flagged)

    return Outcome(record)


def _flagged(
    points: Sequence[SamplePoint], masks: Sequence[Path] | None
) -> tuple[Sequence[SamplePoint], tuple[Note, ...]]:
    """The points, each with whether it lies on a label of the training, and a note if some do or nobody knows."""
    if masks is None:
        return points, (UNKNOWN,)
    lon, lat = (np.array([getattr(point, name) for point in points]) for name in ("lon", "lat"))
    on_label = np.zeros(len(points), dtype=bool)
    for mask in masks:
        on_label |= labelled(mask, lon, lat)
    flagged = [
        point.model_copy(update={"in_training": known}) for point, known in zip(points, on_label.tolist(), strict=True)
    ]
    if not on_label.any():
        return flagged, ()
    detail = f"{on_label.sum()} of {len(points)} points lie on labels by which the model learnt."
    hint = "The map may be better there than elsewhere. The points stay in the sample, as chance has drawn them."
    return flagged, (Note(code="points_in_training", detail=detail, hint=hint),)
