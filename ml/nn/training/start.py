"""The start of a training: what is refused before its first step, and the model with whose weights it begins."""

from collections.abc import Iterator
from pathlib import Path

from ml.config import TrainConfig
from ml.contract import Contract
from ml.data import TrainingData
from ml.faults import Fault, InputRefused, refuse_any
from ml.nn.checkpoint import LoadedCheckpoint, load_checkpoint
from ml.nn.training.ranks import Ranks
from ml.nn.training.state import TrainingState
from ml.warm_start import warm_start_faults


def config_faults(config: TrainConfig, data: TrainingData) -> Iterator[Fault]:
    """Find what in `config` contradicts itself, or does not fit the classes and references of `data`."""
    if config.batch_size == 1 and config.chip_size == 2**config.net.depth:
        detail = "With one chip of 2^depth pixels, BatchNorm has one value per channel and no variance to divide by."
        yield Fault("chip_too_small", detail, "Raise batch_size or chip_size, or lower net.depth.", "/chip_size")
    yield from config.data_faults(len(data.contract.classes), data.references)


def load_origin(config: TrainConfig, contract: Contract, init: Path | None) -> LoadedCheckpoint | None:
    """Load the model with which the training begins, if the config names one.

    Raises:
        InputRefused: bad_checkpoint, the faults of `warm_start_faults`, or code `no_init`: its file was not given.
    """
    if config.init is None:
        return None
    if init is None:
        raise InputRefused(
            Fault("no_init", f"The file of the model {config.init} was not given.", "Give it as --init.")
        )
    origin = load_checkpoint(init)
    refuse_any(warm_start_faults(config, contract, origin.header.config.net, origin.header.contract))
    return origin


def check_same_start(state: TrainingState, ranks: Ranks) -> None:
    """Refuse ranks that resume after different epochs, because they would wait for each other for ever.

    Raises:
        InputRefused: code `torn_folder`.
    """
    if len(set(ranks.together(lambda: len(state.series)))) > 1:
        detail = "The processes resume after different epochs, because they do not share the folder of the training."
        raise InputRefused(Fault("torn_folder", detail, "Start all processes on one machine, with one folder."))
