"""Warm start: whether a training can begin with the weights of a model, told without torch."""

from collections.abc import Iterator

from ml.config import NetConfig, TrainConfig
from ml.contract import Contract
from ml.faults import Fault
from ml.scenes.compatibility import listed, same_bands
from ml.text import alike


def with_net_of(config: TrainConfig, net: NetConfig) -> TrainConfig:
    """Return `config` with the net of the model that it begins with, unless it chooses a net itself."""
    return config if "net" in config.model_fields_set else config.model_copy(update={"net": net})


def same_classes(contract: Contract, other: Contract) -> bool:
    """Whether both have classes with the same values and names in the same order, so that a head fits both."""
    ours, theirs = ([(item.value, alike(item.name)) for item in each.classes] for each in (contract, other))
    return ours == theirs


def warm_start_faults(config: TrainConfig, contract: Contract, net: NetConfig, trained_on: Contract) -> Iterator[Fault]:
    """Yield the reasons why a training on data of `contract` cannot begin with a model, with pointers into `/config`.

    net, trained_on: Net and contract of the model.
    """
    if not same_bands(contract.bands, trained_on.bands):
        ours, theirs = (f"{len(bands)} bands ({listed(bands)})" for bands in (contract.bands, trained_on.bands))
        detail = f"The dataset has {ours}, and {config.init} was trained on {theirs}."
        yield Fault("wrong_bands", detail, "Begin with a model of the same bands, or leave init out.", "/config/init")
    if config.net != net:
        ours, theirs = (f"depth {each.depth} and width {each.width}" for each in (config.net, net))
        detail = f"The net of the config has {ours}, and that of {config.init} has {theirs}."
        yield Fault("other_net", detail, "Leave net out: it is taken from the model.", "/config/net")
    if config.chip_size % 2**net.depth:
        detail = f"chip_size {config.chip_size} is not a multiple of {2**net.depth}, as {config.init} needs."
        yield Fault("wrong_chip_size", detail, f"Give a multiple of {2**net.depth}.", "/config/chip_size")
    if config.frozen_levels > net.depth + 1:
        detail = f"{config.frozen_levels} levels cannot be frozen: the net has {net.depth + 1}."
        yield Fault("too_many_levels", detail, f"Freeze at most {net.depth + 1}.", "/config/frozen_levels")


def warm_start_warnings(config: TrainConfig, contract: Contract, trained_on: Contract) -> Iterator[str]:
    """Yield what changes between the model that a training begins with and the training."""
    if not same_classes(contract, trained_on):
        yield f"The classes are not those of {config.init}: the last layer begins anew."
    if (contract.homogenise is None) != (trained_on.homogenise is None):
        yield f"Only one of the dataset and {config.init} has homogenised scenes: the net must learn their values anew."
