"""Trainings: train a net, register what comes out."""

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy.orm import Session

from app import datasets, registry, trainings
from app.services import Services
from app.storage import Stored
from ml.checkpoint_header import read_header
from ml.progress import Progress
from worker.held import Held
from worker.outcome import Outcome


def run(services: Services, held: Held, folder: Path) -> Outcome:
    """Do the training of the job in `folder`, which may hold what an earlier attempt left."""
    from ml.nn.train import train  # torch takes seconds to import: only when there is something to train

    with services.database.read() as session:
        training = trainings.get(session, held.claim.job_id)
        data = datasets.training_data(services, session, datasets.ready(session, training.dataset))

    def record_epoch(session: Session, progress: Progress) -> None:
        trainings.record_epoch(session, training.id, progress.values)
        held.log(_line(progress.values))

    held.on_values = record_epoch
    result = train(trainings.config_of(training), data, folder, held.watch)
    header = read_header(result.model)

    def record(session: Session, stored: Mapping[str, Stored]) -> None:
        row = trainings.get(session, training.id)
        origin = registry.Origin(training=row.id, dataset=row.dataset)
        version = registry.register(session, row.register_as, header, stored["model.safetensors"], origin)
        row.version = version.version

    return Outcome(record, {"model.safetensors": result.model})


def _line(values: Mapping[str, float | int | None]) -> str:
    """An epoch as a line of the job's log."""
    return " ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    )
