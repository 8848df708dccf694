"""canemap: it writes classes and probability as cloud-optimised GeoTIFFs, and no polygons."""

from pathlib import Path
from typing import Literal

from app.core.startup import calm_collection
from ml.config import PredictConfig
from ml.data import SceneFile
from ml.nn.prediction.predict import predict as predict_scene


def predict(scene: str, model: str, out: str, *, engine: Literal["auto", "torch"] = "auto") -> str:
    """Map a scene as all peers do; it also writes probability.tif and classes.qml."""
    calm_collection()  # as in a job's process
    config = PredictConfig(outputs=("classes", "probability"), engine=engine)
    result = predict_scene(Path(model), SceneFile(name="scene", path=Path(scene)), Path(out), config)
    return str(result.files["classes.tif"])
