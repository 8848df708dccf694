"""Parts: some rows of a prediction's map, kept in the store until it is put together."""

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy.orm import Session

from app.mapping import parts
from app.services import Services
from app.storage import Stored
from ml.faults import Fault, InputRefused
from worker import resume
from worker.context import Held
from worker.kinds.inputs import prediction_inputs
from worker.outcome import Outcome


def run(services: Services, held: Held, folder: Path) -> Outcome:
    """Map the rows of the part of the job; in vain, and so not at all, if another part has failed."""
    # torch takes seconds to import: only when there is something to predict
    from ml.nn.prediction.predict import predict_rows

    with services.database.read() as session:
        part = parts.get(session, held.claim.job_id)
        for job in parts.failed(session, part.prediction):
            hint = "See what that part says, mend it, and predict again."
            raise InputRefused(Fault("other_part_failed", f"Part {job.id} has failed: {job.message}", hint))
    inputs = prediction_inputs(services, part.prediction, folder)
    rows = range(part.first_row, part.end_row)
    maps = predict_rows(inputs.model, inputs.scene, folder, inputs.config, rows, held.watch)

    def record(session: Session, stored: Mapping[str, Stored]) -> None:
        parts.get(session, part.id).object = stored["rows"].object

    return Outcome(record, {"rows": maps}, place=f"{resume.place_of(part.prediction)}{part.first_row:09d}")
