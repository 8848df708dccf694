"""Datasets: rasterise the labels on the grid of every scene, check them, and count classes."""

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy.orm import Session

from app.data import datasets, labels, scenes
from app.results import PreparedDataset
from app.services import Services
from app.storage import Stored
from ml.datasets.prepare import LabelFile, prepare
from ml.datasets.splits import SPLITS
from ml.figures.cutouts import dataset_pictures
from worker import scratch
from worker.context import JobContext, Outcome

PICTURES = "pictures.npz"


def run(services: Services, context: JobContext, folder: Path) -> Outcome:
    """Prepare the dataset of the job. folder: scratch folder for the masks and pictures."""
    with services.database.read() as session:
        dataset = datasets.get(session, context.claim.job_id)
        request = dataset.request
        used = [scenes.get(session, name) for name in request.scenes]
        layers = [labels.get(session, name) for name in request.labels]
    take = scratch.fetcher(services.store, folder)
    scene_files = [datasets.scene_file(scene, take) for scene in used]
    label_files = [LabelFile(name=layer.id, path=take(layer.object), options=layer.options) for layer in layers]
    prepared = prepare(
        scene_files,
        label_files,
        request.split,
        request.classes,
        folder,
        context.watch,
        leaks=request.leaks,
        homogenise=request.method,
        clip=request.clip_outliers,
        label_memory_bytes=services.settings.inspection_memory_bytes,
    )
    data = prepared.training_data
    radiometry = {
        scene.name: scene.radiometry for split in SPLITS for scene in getattr(data, split) if scene.radiometry
    }
    masks = {split: {scene.name: scene.mask for scene in getattr(data, split)} for split in SPLITS}

    def record(session: Session, stored: Mapping[str, Stored]) -> None:
        row = datasets.get(session, context.claim.job_id)
        row.figures = stored[PICTURES].object
        row.size_bytes = sum(item.size_bytes for item in stored.values())
        row.prepared = PreparedDataset(
            statistics=prepared.statistics,
            by_scene=prepared.by_scene,
            total=prepared.total,
            references=prepared.references,
            sha256=data.sha256,
            radiometry=radiometry,
            contract=data.contract,
            notes=prepared.notes,
            masks={
                split: {name: stored[_key(split, name)].object for name in by_scene}
                for split, by_scene in masks.items()
            },
        )

    dataset_pictures(data, folder / PICTURES)
    files = {_key(split, name): path for split, by_scene in masks.items() for name, path in by_scene.items()}
    return Outcome(record, files | {PICTURES: folder / PICTURES})


def _key(split: str, scene: str) -> str:
    return f"masks/{split}/{scene}.tif"
