"""Training a net on labelled scenes, which results in a checkpoint."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ml.checkpoint_header import CheckpointHeader
from ml.config import TrainConfig
from ml.data import TrainingData
from ml.evaluation.report import TrainReport
from ml.faults import refuse_any
from ml.frozen import Frozen
from ml.nn.checkpoint import LoadedCheckpoint, save_checkpoint
from ml.nn.masks import training_faults
from ml.nn.precision import repeatable
from ml.nn.training.background import Ahead, Newest
from ml.nn.training.chip_report import chip_report
from ml.nn.training.chips import ChipSampler
from ml.nn.training.decoded_scenes import decoded_split
from ml.nn.training.epochs import Epochs
from ml.nn.training.execution import Execution, choose_execution
from ml.nn.training.forgetting import EarlierSplit
from ml.nn.training.header import scored_header
from ml.nn.training.ranks import ALONE, Ranks
from ml.nn.training.start import check_same_start, config_faults, load_origin
from ml.nn.training.state import EpochRow, TrainingState
from ml.progress import Watch, silent


class TrainResult(Frozen):
    """The result of a training.

    model: Path of the checkpoint, with the weights that `config.keep` names.
    header: Header of the checkpoint, with metrics, details by split and report.
    epochs: Number of epochs trained.
    series: One row for each epoch.
    """

    model: Path
    header: CheckpointHeader
    epochs: int
    series: tuple[EpochRow, ...]


def train(
    config: TrainConfig,
    data: TrainingData,
    out: Path,
    watch: Watch = silent,
    ranks: Ranks = ALONE,
    init: Path | None = None,
    saved: Callable[[], None] = lambda: None,
    earlier: Sequence[EarlierSplit] = (),
) -> TrainResult:
    """Train a U-Net on `data.train`, watch it on `data.val`, and evaluate the weights that are kept on `data.test`.

    The checkpoint is written to `model.safetensors` in the folder `out`. A thread saves the state to
    `resume.safetensors` after each epoch, and a repeated call with the same `out` resumes after the last epoch that was
    saved. Its weights are the same as without an interruption: to the bit if processor or GPU, libraries, precision and
    number of threads are the same, else up to rounding; a note of the progress says so if device or precision is
    another.

    The net is scored on the val and test splits in one precision on every device, whatever it is trained in.

    With several ranks, every rank calls this function at the same time with the same `out`. They all return the same
    result, or all raise the error that one of them raised. The weights are those of a single process up to the rounding
    of float32. A training may be resumed with another number of ranks.

    watch: Called after each step, and after each epoch with its row of the series, again after a resume; may raise
        `Stopped`.
    ranks: This process among those that train together.
    init: The checkpoint that `config.init` names, with whose weights the training begins.
    saved: Called by that thread, on rank 0, after each time that it has saved the state; it saves no other meanwhile.
    earlier: Test splits of this model and of those before it, on which the net is scored at the end.

    Raises:
        InputRefused: nothing is labelled, only one class occurs, the config does not fit the classes or the ranks, the
            model to begin with does not fit or was not given, no chip is usable, there is no GPU or no C++ compiler
            although the config requires one, or the loss is not finite.
        Stopped: `watch` raised it.
    """
    execution = choose_execution(config, ranks)
    config = config.for_classes(len(data.contract.classes))
    origin = load_origin(config, data.contract, init)
    refuse_any([*config_faults(config, data), *training_faults(data)])
    epochs, report = _train_epochs(config, data, out, watch, execution, origin, saved)
    model, state = out / "model.safetensors", epochs.state

    def write_model() -> CheckpointHeader:
        header = scored_header(config, data, state, execution, report, earlier, epochs.check_stop)
        save_checkpoint(model, state.net.state_dict(), header)
        return header

    header = ranks.first_does(write_model)
    return TrainResult(model=model, header=header, epochs=len(state.series), series=tuple(state.series))


def _train_epochs(
    config: TrainConfig,
    data: TrainingData,
    out: Path,
    watch: Watch,
    execution: Execution,
    origin: LoadedCheckpoint | None,
    saved: Callable[[], None],
) -> tuple[Epochs, TrainReport]:
    """Train all epochs, or those after the last that was saved in `out`, and load the weights that are kept."""
    ranks, resume = execution.ranks, out / "resume.safetensors"
    with (
        Newest("save") as newest,
        repeatable(execution.precision, compiled=config.compile),
        decoded_split(data, config, out / "scratch", watch, ranks) as scenes,
    ):
        sampler = ChipSampler(scenes, config, data.contract)
        with Ahead(sampler.epoch) as draws:
            report = chip_report(config, data.contract, sampler, origin)
            state = TrainingState(config, data, execution, origin).resume(resume)
            check_same_start(state, ranks)
            epochs = Epochs(config, data, sampler, draws, state, execution, watch)
            epochs.run(save=lambda: newest.submit(partial(_save, state.saving(resume), saved)))
            epochs.load_kept()
    return epochs, report


def _save(write: Callable[[], None], saved: Callable[[], None]) -> None:
    write()
    saved()
