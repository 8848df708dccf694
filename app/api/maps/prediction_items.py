"""The documents of predictions, with what the database knows of their scenes, jobs and models."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from app.api.documents import whole as documents
from app.data import scenes
from app.jobs import lifecycle
from app.mapping import predictions
from app.tables import Prediction


def items_of(session: Session, rows: Sequence[Prediction], address: str) -> list[documents.Prediction]:
    """The documents of predictions. address: of the service."""
    of, work = scenes.by_id(session, (row.scene for row in rows)), lifecycle.by_id(session, (row.id for row in rows))
    # a prediction may have been deleted since the page was read
    rows = [row for row in rows if row.scene in of and row.id in work]
    contracts, known = predictions.contracts(session, rows), predictions.familiar(session, rows)
    return [
        documents.Prediction.of(
            row,
            of[row.scene],
            work[row.id],
            contracts[row.id].classes,
            predictions.warnings(row, of[row.scene].info, contracts[row.id], known[row.id]),
            address,
        )
        for row in rows
    ]
