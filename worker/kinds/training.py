"""Trainings: train a net, record its epochs and its checkpoint's header, and register it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from app.data import datasets, scenes
from app.learning import earlier, registry, trainings
from app.services import Services
from app.storage import Stored
from app.tables import Training
from ml.data import TrainingData
from ml.evaluation.report import TrainReport
from ml.progress import Progress
from worker import resume, scratch
from worker.context import JobContext, Outcome

if TYPE_CHECKING:
    from ml.nn.training.forgetting import EarlierSplit
    from ml.nn.training.train import TrainResult

CHECKPOINT, PICTURES = "model.safetensors", "pictures.npz"


def run(services: Services, context: JobContext, folder: Path) -> Outcome:
    """Do the training of the job. folder: scratch folder with the files of an earlier attempt, if there was one."""
    # imported only when it is used, because torch takes seconds to import
    from ml.nn.training.pictures import training_pictures

    inputs = _inputs(services, context.claim.job_id, folder)
    training = inputs.training

    def record_epoch(session: Session, progress: Progress) -> None:
        trainings.record_epoch(session, training.id, progress.values)
        context.log(_line(progress.values))

    resume_file = resume.ResumeFile(services.store, context.claim, folder)
    if not resume_file.fetch() and context.claim.attempt > 1:
        context.log("begins with the first epoch: no earlier attempt has left a finished one")
    context.on_values = record_epoch
    saved = resume_file.keep  # called by the thread that saves an epoch, while the training goes on
    result = _train(inputs, services.settings.processes_of_a_training, context, folder, saved)
    header = result.header
    if header.report:
        _log_report(context, header.report)
    training_pictures(result.model, inputs.data, folder / PICTURES)

    def record(session: Session, stored: Mapping[str, Stored]) -> None:
        row = trainings.get(session, training.id)
        row.header = header
        row.figures, row.size_bytes = stored[PICTURES].object, stored[PICTURES].size_bytes  # a model has its own
        if row.register_as:
            origin = registry.Origin(training=row.id, dataset=row.dataset)
            row.version = registry.register(session, row.register_as, header, stored[CHECKPOINT], origin).version

    files = {PICTURES: folder / PICTURES}
    return Outcome(record, files | {CHECKPOINT: result.model} if training.register_as else files)


@dataclass(frozen=True)
class _Inputs:
    """The inputs of a training, as files on this machine.

    init: Checkpoint of the model that it begins with, if it begins with one. earlier: Test splits of that model and of
    those before it.
    """

    training: Training
    data: TrainingData
    init: Path | None
    earlier: Sequence["EarlierSplit"]


def _inputs(services: Services, training_id: str, folder: Path) -> _Inputs:
    """Fetch and check the inputs of a training. folder: the scratch folder of the job."""
    # imported only when it is used, because torch takes seconds to import
    from ml.nn.training.forgetting import EarlierSplit

    with services.database.read() as session:
        training = trainings.get(session, training_id)
        dataset = datasets.ready(session, training.dataset)
        used = scenes.by_id(session, dataset.scenes)
        origin = registry.resolve(session, training.config.init) if training.config.init else None
        contract = datasets.prepared(dataset).contract
        before = [*earlier.splits_before(session, origin, contract)] if origin else []
        used_before = scenes.by_id(session, {name for each in before for name in each.dataset.scenes})
    take = scratch.fetcher(services.store, folder)
    data = datasets.training_data(dataset, used, take)
    init = None
    if origin is not None:
        with registry.checkpoint_of(origin) as key:
            init = take(key)
    splits = [
        EarlierSplit(
            each.model,
            each.dataset.id,
            datasets.labelled_scenes(each.dataset, "test", used_before, take),
            each.metrics,
        )
        for each in before
    ]
    return _Inputs(training, data, init, splits)


def _train(inputs: _Inputs, given: int, context: JobContext, folder: Path, saved: Callable[[], None]) -> "TrainResult":
    """Train by as many of the `given` processes as can divide a batch equally. saved: See `train`."""
    # imported only when it is used, because torch takes seconds to import
    from ml.nn.training.together import processes_for, train_together

    config = inputs.training.config
    processes = processes_for(config, given)
    if processes != given:
        context.log(f"{processes} of {given} processes train: a batch of {config.batch_size} is divided equally")
    return train_together(processes, config, inputs.data, folder, context.watch, inputs.init, saved, inputs.earlier)


def _line(values: Mapping[str, float | int | None]) -> str:
    """A line of the job's log with the values of an epoch."""
    return " ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    )


def _log_report(context: JobContext, report: TrainReport) -> None:
    """Write to the job's log what the owner of the data should know."""
    for warning in report.warnings:
        context.log(f"warning: {warning}")
    context.log(f"balance {report.balance.mode}: pixels {report.balance.before}, in an epoch {report.balance.after}")
    for why, count in report.dropped.items():
        context.log(f"{count} chips were dropped: {why}, pixels {report.dropped_pixels.get(why, {})}")
    if report.suspects:
        context.log(f"{report.suspects} places have labels that the net strongly contradicts: check them")
