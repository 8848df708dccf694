"""An experiment on this machine: it trains each variant with each seed, one after the other, and compares them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ml.checkpoint_header import read_header
from ml.compare_checkpoints import compare_headers
from ml.data import TrainingData
from ml.evaluation.comparison import Comparison
from ml.evaluation.plan import Plan, PlannedTraining, plan_faults
from ml.faults import InputRefused, refuse_any
from ml.figures.catalogue import Trained
from ml.figures.cutouts import load_pictures
from ml.nn.training.pictures import training_pictures
from ml.nn.training.train import train
from ml.progress import Watch, silent


def run_experiment(
    plan: Plan, data: TrainingData, out: Path, watch: Watch = silent
) -> tuple[Comparison, list[Trained]]:
    """Train each variant with each seed into `out`/{variant}/{seed}, and compare the trainings.

    They are compared on the test split, or on the val split if there is no test split. A repeated call with the same
    `out` resumes an interrupted experiment: finished trainings are not repeated.

    Raises:
        InputRefused: all faults of the plan, or the faults that `train` raises.
    """
    classes = len(data.contract.classes)
    refuse_any(plan_faults(plan, classes))
    finished = list(_train_all(plan.trainings(classes), data, out, watch))
    return compare_headers([(each.variant, each.header) for each in finished]), finished


def _train_all(plans: tuple[PlannedTraining, ...], data: TrainingData, out: Path, watch: Watch) -> Iterator[Trained]:
    for number, planned in enumerate(plans, 1):
        folder = out / planned.variant.replace("/", "-") / str(planned.seed)
        stage = f"training {number} of {len(plans)}: {planned.variant}, seed {planned.seed}"
        yield _finished(planned, data, folder) or _train(planned, data, folder, _prefixed(stage, watch))


def _train(planned: PlannedTraining, data: TrainingData, folder: Path, watch: Watch) -> Trained:
    folder.mkdir(parents=True, exist_ok=True)
    result = train(planned.config, data, folder, watch)
    (folder / "series.json").write_text(json.dumps(result.series), encoding="utf-8")
    training_pictures(result.model, data, folder / "pictures.npz")
    (folder / "resume.safetensors").unlink()
    return Trained(planned.variant, result.header, result.series, load_pictures(folder / "pictures.npz"))


def _finished(planned: PlannedTraining, data: TrainingData, folder: Path) -> Trained | None:
    """Return the training if it is already finished with the same config on the same data, else None."""
    try:
        header = read_header(folder / "model.safetensors")
        series = json.loads((folder / "series.json").read_text(encoding="utf-8"))
        pictures = load_pictures(folder / "pictures.npz")
    except (OSError, InputRefused):
        return None
    config = planned.config.for_classes(len(data.contract.classes))
    same = header.config == config and header.contract == data.contract and header.dataset_sha256 == data.sha256
    return Trained(planned.variant, header, series, pictures) if same else None


def _prefixed(stage: str, watch: Watch) -> Watch:
    return lambda progress: watch(replace(progress, stage=f"{stage}, {progress.stage}"))
