"""What a prediction works on, brought to this machine."""

from dataclasses import dataclass
from pathlib import Path

from app.data import datasets, scenes
from app.learning import registry
from app.mapping import predictions
from app.services import Services
from ml.config import PredictConfig
from ml.data import SceneFile
from worker import scratch


@dataclass(frozen=True)
class PredictionInputs:
    """model: the checkpoint."""

    model: Path
    scene: SceneFile
    config: PredictConfig


def prediction_inputs(services: Services, prediction_id: str, folder: Path) -> PredictionInputs:
    """The inputs of a prediction, checked, for a job whose scratch folder this is."""
    with services.database.read() as session:
        prediction = predictions.get(session, prediction_id)
        row_of_scene = scenes.get(session, prediction.scene)
        model = registry.get(session, prediction.model, str(prediction.version))
    take = scratch.taking(services.store, folder)
    return PredictionInputs(take(model.object), datasets.scene_file(row_of_scene, take), prediction.config)
