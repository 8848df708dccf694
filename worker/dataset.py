"""Datasets: rasterise the labels of every scene, check, count."""

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy.orm import Session

from app import datasets, labels, scenes
from app.services import Services
from app.storage import Stored
from ml.geo.datasets import LabelFile, prepare
from worker.held import Held
from worker.outcome import Outcome


def run(services: Services, held: Held, folder: Path) -> Outcome:
    """Prepare the dataset of the job in `folder`."""
    with services.database.read() as session:
        dataset = datasets.get(session, held.claim.job_id)
        request = datasets.request_of(dataset)
        scene_files = [datasets.scene_file(services, scenes.get(session, name)) for name in request.scenes]
        layers = [labels.get(session, name) for name in request.labels]
    label_files = [
        LabelFile(name=layer.id, path=labels.path_of(services, layer), options=labels.options_of(layer))
        for layer in layers
    ]
    prepared = prepare(scene_files, label_files, request.split, request.classes, folder, held.watch)
    data = prepared.training_data
    masks = {split: {scene.name: scene.mask for scene in getattr(data, split)} for split in datasets.SPLITS}

    def record(session: Session, stored: Mapping[str, Stored]) -> None:
        row = datasets.get(session, held.claim.job_id)
        row.prepared = {
            "statistics": prepared.statistics,
            "contract": data.contract.model_dump(mode="json"),
            "notes": [note.model_dump(mode="json") for note in prepared.notes],
            "masks": {
                split: {name: stored[_key(split, name)].object for name in by_scene}
                for split, by_scene in masks.items()
            },
        }

    files = {_key(split, name): path for split, by_scene in masks.items() for name, path in by_scene.items()}
    return Outcome(record, files)


def _key(split: str, scene: str) -> str:
    return f"masks/{split}/{scene}.tif"
