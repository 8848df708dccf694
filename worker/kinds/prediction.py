"""Predictions: map one scene with one model; whole, or some rows of its map, kept in the store until all are there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from app.data import datasets, scenes
from app.learning import registry
from app.mapping import parts, predictions
from app.results import MappedAreas
from app.services import Services
from app.storage import Stored
from app.tables import Part
from ml.config import PredictConfig
from ml.data import SceneFile
from ml.faults import Fault, InputRefused
from worker import resume, scratch
from worker.context import JobContext, Outcome

if TYPE_CHECKING:
    from ml.products.write import PredictResult


def run(services: Services, context: JobContext, folder: Path) -> Outcome:
    """Do the prediction of the job in `folder`, which may hold what an earlier attempt left; or join its parts."""
    with services.database.read() as session:
        made = _whole(session, context.claim.job_id)
    result = _predict(services, context, folder, made)

    def record(session: Session, stored: Mapping[str, Stored]) -> None:
        row = predictions.get(session, context.claim.job_id)
        row.products = dict(stored)
        row.software = result.software
        row.areas = MappedAreas(
            area_ha=result.area_ha, observed_ha=result.observed_ha, unobserved_ha=result.unobserved_ha
        )

    return Outcome(record, result.files)


def run_part(services: Services, context: JobContext, folder: Path) -> Outcome:
    """Map the rows of the part of the job; in vain, and so not at all, if another part has failed."""
    # torch takes seconds to import: only when there is something to predict
    from ml.nn.prediction.predict import predict_rows

    with services.database.read() as session:
        part = parts.get(session, context.claim.job_id)
        for job in parts.failed(session, part.prediction):
            hint = "See what that part says, mend it, and predict again."
            raise InputRefused(Fault("other_part_failed", f"Part {job.id} has failed: {job.message}", hint))
    inputs = _inputs(services, part.prediction, folder)
    rows = range(part.first_row, part.end_row)
    maps = predict_rows(inputs.model, inputs.scene, folder, inputs.config, rows, context.watch)

    def record(session: Session, stored: Mapping[str, Stored]) -> None:
        row = parts.get(session, part.id)
        row.object, row.software = stored["rows"].object, maps.software

    return Outcome(record, {"rows": maps.path}, place=f"{resume.place_of(part.prediction)}{part.first_row:09d}")


def _whole(session: Session, prediction_id: str) -> Sequence[Part]:
    """All parts of the map, with their rows; none if nobody asked for parts."""
    if failed := parts.failed(session, prediction_id):
        hint = "Look at its log, mend it, and predict again."
        raise InputRefused(
            *(Fault("part_failed", f"Part {job.id} is {job.status}: {job.message}", hint) for job in failed)
        )
    return parts.of(session, prediction_id)


def _predict(services: Services, context: JobContext, folder: Path, made: Sequence[Part]) -> "PredictResult":
    # torch takes seconds to import: only when there is something to predict
    from ml.nn.prediction.predict import MappedRows, finish, predict

    inputs = _inputs(services, context.claim.job_id, folder)
    if not made:
        return predict(inputs.model, inputs.scene, folder, inputs.config, context.watch)
    take = scratch.fetcher(services.store, folder)
    rows = [MappedRows(path=take(part.object), software=part.software or {}) for part in made if part.object]
    return finish(rows, inputs.model, inputs.scene, folder, inputs.config, context.watch)


@dataclass(frozen=True)
class _Inputs:
    """What a prediction works on, on this machine. model: the checkpoint."""

    model: Path
    scene: SceneFile
    config: PredictConfig


def _inputs(services: Services, prediction_id: str, folder: Path) -> _Inputs:
    """The inputs of a prediction, checked, for a job whose scratch folder this is."""
    with services.database.read() as session:
        prediction = predictions.get(session, prediction_id)
        row_of_scene = scenes.get(session, prediction.scene)
        model = registry.get(session, prediction.model, str(prediction.version))
    take = scratch.fetcher(services.store, folder)
    return _Inputs(take(model.object), datasets.scene_file(row_of_scene, take), prediction.config)
