"""Predictions: map one scene with one model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from app.mapping import parts, predictions
from app.results import MappedAreas
from app.services import Services
from app.storage import Stored
from app.tables import Part
from ml.faults import Fault, InputRefused
from ml.provenance import software
from worker import scratch
from worker.context import Held
from worker.kinds.inputs import prediction_inputs
from worker.outcome import Outcome

if TYPE_CHECKING:
    from ml.products.write import PredictResult


def run(services: Services, held: Held, folder: Path) -> Outcome:
    """Do the prediction of the job in `folder`, which may hold what an earlier attempt left; or join its parts."""
    with services.database.read() as session:
        made = _whole(session, held.claim.job_id)
    result = _predict(services, held, folder, made)

    def record(session: Session, stored: Mapping[str, Stored]) -> None:
        row = predictions.get(session, held.claim.job_id)
        row.products = dict(stored)
        row.software = software()
        row.areas = MappedAreas(
            area_ha=result.area_ha, observed_ha=result.observed_ha, unobserved_ha=result.unobserved_ha
        )

    return Outcome(record, result.files)


def _whole(session: Session, prediction_id: str) -> Sequence[Part]:
    """All parts of the map, with their rows; none if nobody asked for parts."""
    if failed := parts.failed(session, prediction_id):
        hint = "Look at its log, mend it, and predict again."
        raise InputRefused(
            *(Fault("part_failed", f"Part {job.id} is {job.status}: {job.message}", hint) for job in failed)
        )
    return parts.of(session, prediction_id)


def _predict(services: Services, held: Held, folder: Path, made: Sequence[Part]) -> "PredictResult":
    # torch takes seconds to import: only when there is something to predict
    from ml.nn.prediction.predict import finish, predict

    inputs = prediction_inputs(services, held.claim.job_id, folder)
    if not made:
        return predict(inputs.model, inputs.scene, folder, inputs.config, held.watch)
    take = scratch.taking(services.store, folder)
    rows = [take(part.object) for part in made if part.object]
    return finish(rows, inputs.model, inputs.scene, folder, inputs.config, held.watch)
