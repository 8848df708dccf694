"""Predictions: map one scene with one model."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from sqlalchemy.orm import Session

from app import datasets, predictions, registry, scenes
from app.services import Services
from app.storage import Stored
from ml.provenance import software
from worker import scratch
from worker.held import Held
from worker.outcome import Outcome


def run(services: Services, held: Held, folder: Path) -> Outcome:
    """Do the prediction of the job in `folder`, which may hold what an earlier attempt left."""
    from ml.nn.predict import predict  # torch takes seconds to import: only when there is something to predict

    with services.database.read() as session:
        prediction = predictions.get(session, held.claim.job_id)
        row_of_scene = scenes.get(session, prediction.scene)
        model = registry.get(session, prediction.model, str(prediction.version))
    take = scratch.taking(services.store, folder)
    scene = datasets.scene_file(row_of_scene, take)
    result = predict(take(model.object), scene, folder, predictions.config_of(prediction), held.watch)

    def record(session: Session, stored: Mapping[str, Stored]) -> None:
        row = predictions.get(session, prediction.id)
        row.products = {name: asdict(item) for name, item in stored.items()}
        row.software = software()
        row.areas = {
            "area_ha": result.area_ha,
            "observed_ha": result.observed_ha,
            "unobserved_ha": result.unobserved_ha,
        }

    return Outcome(record, result.files)
