"""How a training computes: on what device, in what precision and memory format, compiled or not, with whom."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ml.config import TrainConfig
from ml.faults import Fault, InputRefused, refuse_any
from ml.nn.normalise import choose_device, choose_precision
from ml.nn.training.ranks import ALONE, Ranks


@dataclass(frozen=True)
class Execution:
    """precision: of the net's products; weights, loss and optimiser stay float32. memory_format: of weights and images.

    fused: the optimiser moves all weights in one kernel. compile: the net goes through torch.compile.
    ranks: the processes that share each batch.
    """

    device: torch.device
    precision: torch.dtype = torch.float32
    memory_format: torch.memory_format = torch.contiguous_format
    fused: bool = False
    compile: bool = False
    ranks: Ranks = ALONE

    def made_by(self) -> dict[str, str]:
        """What decides the bits of the weights beside `ml.provenance.software` and `StreamNet.made_by`, by name."""
        return {"precision": str(self.precision).removeprefix("torch."), "ranks": str(self.ranks.count)}


def choose_execution(config: TrainConfig, ranks: Ranks = ALONE) -> Execution:
    """What `config` asks for, completed by what is fastest on its device.

    Raises:
        InputRefused: code `no_gpu`, `no_compiler` where torch.compile does not work, or what `ranks` cannot do.
    """
    device = choose_device(config.device)
    refuse_any(ranks.faults(config, device))
    if config.compile:
        _check_compiler(device)
    precision, on_gpu = choose_precision(config.precision, device), device.type == "cuda"
    channels_last = on_gpu if config.channels_last is None else config.channels_last
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    return Execution(device, precision, memory_format, fused=on_gpu, compile=config.compile, ranks=ranks)


def _check_compiler(device: torch.device) -> None:
    """Compile something tiny, past all caches: the compiler that once filled them may be gone."""
    try:
        torch.compile(_tiny, options={"fx_graph_cache": False})(torch.ones(2, device=device))
    except Exception as error:  # a missing compiler, broken headers and old drivers have no exception in common
        detail = f"torch.compile does not work on this machine ({type(error).__name__})."
        hint = "Leave compile out, or install a C++ compiler (g++) where the worker runs."
        raise InputRefused(Fault("no_compiler", detail, hint, "/compile")) from error


def _tiny(x: Tensor) -> Tensor:
    return x.sin() + 1
