"""Predictions: map one scene with one model, as a whole or in parts of some rows, which are stored until all exist."""

from collections.abc import Callable, Mapping, Sequence
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
from ml.provenance import signature
from worker import resume, scratch
from worker.context import JobContext, Outcome

if TYPE_CHECKING:
    from ml.nn.prediction.predict import MappedRows
    from ml.products.write import PredictResult


def run(services: Services, context: JobContext, folder: Path) -> Outcome:
    """Do the prediction of the job, or join its parts. folder: scratch folder with the files of an earlier attempt.

    Raises `InputRefused` when a part has failed.
    """
    with services.database.read() as session:
        finished = _finished_parts(session, context.claim.job_id)
    result = _predict(services, context, folder, finished)
    for note in result.applicability.notes():
        context.log(f"warning: {note.detail} {note.hint}")

    def record(session: Session, stored: Mapping[str, Stored]) -> None:
        row = predictions.get(session, context.claim.job_id)
        row.products = dict(stored)
        row.size_bytes = sum(item.size_bytes for item in stored.values())
        row.software = result.software
        row.areas = MappedAreas(
            area_ha=result.area_ha,
            observed_ha=result.observed_ha,
            unobserved_ha=result.unobserved_ha,
            applicability=result.applicability,
            polygons=result.polygons,
        )

    return Outcome(record, result.files)


def run_part(services: Services, context: JobContext, folder: Path) -> Outcome:
    """Map the rows of the part of the job. folder: scratch folder with the files of an earlier attempt.

    Raises `InputRefused` when another part has failed, because the map cannot be completed then.
    """
    # imported only when it is used, because torch takes seconds to import
    from ml.nn.prediction.predict import layers_of, predict_rows

    with services.database.read() as session:
        part = parts.get(session, context.claim.job_id)
        for job in parts.failed(session, part.prediction):
            hint = "Read the error of that part, correct the cause, and predict again."
            raise InputRefused(Fault("other_part_failed", f"Part {job.id} has failed: {job.message}", hint))
    inputs = _inputs(services, part.prediction, folder)
    rows = range(part.first_row, part.end_row)
    scratch.require(folder, layers_of(inputs.config) * len(rows) * inputs.cols)
    maps = predict_rows(inputs.model, inputs.scene, folder, inputs.config, rows, context.watch)

    def record(session: Session, stored: Mapping[str, Stored]) -> None:
        row = parts.get(session, part.id)
        row.object, row.software = stored["rows"].object, maps.software

    return Outcome(record, {"rows": maps.path}, place=f"{resume.place_of(part.prediction)}{part.first_row:09d}")


def _finished_parts(session: Session, prediction_id: str) -> Sequence[Part]:
    """All parts of the map, with their rows; empty if the prediction has no parts."""
    if failed := parts.failed(session, prediction_id):
        hint = "Read its log, correct the cause, and predict again."
        raise InputRefused(
            *(Fault("part_failed", f"Part {job.id} is {job.status}: {job.message}", hint) for job in failed)
        )
    return parts.of(session, prediction_id)


def _predict(services: Services, context: JobContext, folder: Path, finished: Sequence[Part]) -> "PredictResult":
    # imported only when it is used, because torch takes seconds to import
    from ml.nn.prediction.predict import finish, layers_of, predict

    inputs = _inputs(services, context.claim.job_id, folder)
    if not finished:
        scratch.require(folder, layers_of(inputs.config) * inputs.rows * inputs.cols - _size_of(folder))
        return predict(inputs.model, inputs.scene, folder, inputs.config, context.watch)
    rows = _alike(context, inputs, folder, finished, scratch.fetcher(services.store, folder))
    return finish(rows, inputs.model, inputs.scene, folder, inputs.config, context.watch)


def _alike(
    context: JobContext, inputs: "_Inputs", folder: Path, finished: Sequence[Part], take: Callable[[str], Path]
) -> Sequence["MappedRows"]:
    """The rows of all parts, computed in the same way: if they are not, all that this machine would compute otherwise
    are computed again by it, because a map of unlike machines could have seams.
    """
    # imported only when it is used, because torch takes seconds to import
    from ml.nn.prediction.predict import MappedRows, computed_here, predict_rows

    rows = [MappedRows(path=take(part.object), software=part.software or {}) for part in finished if part.object]
    if len({each.signature for each in rows}) == 1:
        return rows
    here = signature(computed_here(inputs.model, inputs.cols, inputs.config))
    again = list[MappedRows]()
    for part, mapped in zip(finished, rows, strict=True):
        if mapped.signature != here:
            by = f"{mapped.software.get('device', 'another machine')} in {mapped.software.get('precision', 'float32')}"
            unlike = f"rows {part.first_row} to {part.end_row} were computed by {by}, unlike the others"
            context.log(f"{unlike}: they are computed again here")
            wanted = range(part.first_row, part.end_row)
            mapped = predict_rows(inputs.model, inputs.scene, folder, inputs.config, wanted, context.watch)
        again.append(mapped)
    return again


@dataclass(frozen=True)
class _Inputs:
    """The inputs of a prediction, as files on this machine. model: path of the checkpoint. rows, cols: of the scene."""

    model: Path
    scene: SceneFile
    rows: int
    cols: int
    config: PredictConfig


def _inputs(services: Services, prediction_id: str, folder: Path) -> _Inputs:
    """Fetch and check the inputs of a prediction. folder: the scratch folder of the job."""
    with services.database.read() as session:
        prediction = predictions.get(session, prediction_id)
        row_of_scene = scenes.get(session, prediction.scene)
        model = registry.get(session, prediction.model, str(prediction.version))
    take = scratch.fetcher(services.store, folder)
    with registry.checkpoint_of(model) as key:
        checkpoint = take(key)
    info = row_of_scene.info
    return _Inputs(checkpoint, datasets.scene_file(row_of_scene, take), info.rows, info.cols, prediction.config)


def _size_of(folder: Path) -> int:
    """Bytes of the finished rows that an earlier attempt has left."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
