"""An experiment from a shell: variants x seeds one after the other, each resumable, compared at the end."""

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
    """Train every run into `out`/{variant}/{seed} and compare them on the test split, or on val without one.

    The same call on the same `out` goes on where it was interrupted: runs that are finished are not trained again.

    Raises:
        InputRefused: every fault of the plan; what `train` raises.
    """
    classes = len(data.contract.classes)
    refuse_any(plan_faults(plan, classes))
    finished = list(_run_all(plan.trainings(classes), data, out, watch))
    return compare_headers([(run.variant, run.header) for run in finished]), finished


def _run_all(runs: tuple[PlannedTraining, ...], data: TrainingData, out: Path, watch: Watch) -> Iterator[Trained]:
    for number, run in enumerate(runs, 1):
        folder = out / run.variant.replace("/", "-") / str(run.seed)
        stage = f"run {number} of {len(runs)}: {run.variant}, seed {run.seed}"
        yield _finished(run, data, folder) or _train(run, data, folder, _under(stage, watch))


def _train(run: PlannedTraining, data: TrainingData, folder: Path, watch: Watch) -> Trained:
    folder.mkdir(parents=True, exist_ok=True)
    result = train(run.config, data, folder, watch)
    (folder / "series.json").write_text(json.dumps(result.series), encoding="utf-8")
    training_pictures(result.model, data, folder / "pictures.npz")
    (folder / "resume.safetensors").unlink()
    return Trained(run.variant, result.header, result.series, load_pictures(folder / "pictures.npz"))


def _finished(run: PlannedTraining, data: TrainingData, folder: Path) -> Trained | None:
    """The run, if it was trained before with the same config on the same data."""
    try:
        header = read_header(folder / "model.safetensors")
        series = json.loads((folder / "series.json").read_text(encoding="utf-8"))
        pictures = load_pictures(folder / "pictures.npz")
    except (OSError, InputRefused):
        return None
    wanted = run.config.for_classes(len(data.contract.classes))
    same = header.config == wanted and header.contract == data.contract and header.dataset_sha256 == data.sha256
    return Trained(run.variant, header, series, pictures) if same else None


def _under(stage: str, watch: Watch) -> Watch:
    return lambda progress: watch(replace(progress, stage=f"{stage}, {progress.stage}"))
