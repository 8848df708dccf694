"""How a training computes: device, precision, memory format, compilation, and the processes that share the work."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ml.config import TrainConfig
from ml.faults import Fault, InputRefused, refuse_any
from ml.nn.normalise import choose_device
from ml.nn.precision import FLOAT32, Precision, choose_precision
from ml.nn.training.ranks import ALONE, Ranks


@dataclass(frozen=True)
class Execution:
    """How a training computes.

    device: Device that the net is trained on.
    precision: Precision of the net; weights, loss and optimiser stay float32.
    memory_format: Memory format of weights and images.
    fused: Whether the optimiser updates all weights in one kernel.
    compile: Whether the net is compiled by torch.compile.
    ranks: Processes that share each batch.
    """

    device: torch.device
    precision: Precision = FLOAT32
    memory_format: torch.memory_format = torch.contiguous_format
    fused: bool = False
    compile: bool = False
    ranks: Ranks = ALONE

    def made_by(self) -> dict[str, str]:
        """Return by name the settings that decide the bits of the weights.

        `ml.provenance.software` and `StreamNet.made_by` return the other ones.
        """
        return {"precision": self.precision.name, "ranks": str(self.ranks.count)}


def choose_execution(config: TrainConfig, ranks: Ranks = ALONE) -> Execution:
    """Choose how to compute by `config`, and what it leaves open by what is fastest on its device.

    Raises:
        InputRefused: codes `no_gpu` and `no_tf32`; code `no_compiler` if torch.compile is asked for and does not work;
            the faults of `Ranks.faults`.
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
    """Compile a tiny function without the caches, because the compiler that filled them may have been removed.

    Raises:
        InputRefused: code `no_compiler`: torch.compile does not work.
    """
    try:
        torch.compile(_tiny, options={"fx_graph_cache": False})(torch.ones(2, device=device))
    except Exception as error:  # a missing compiler, broken headers and old drivers raise unrelated exceptions
        detail = f"torch.compile does not work on this machine ({type(error).__name__})."
        hint = "Leave out compile, or install a C++ compiler (g++) on the machine that trains."
        raise InputRefused(Fault("no_compiler", detail, hint, "/compile")) from error


def _tiny(x: Tensor) -> Tensor:
    return x.sin() + 1
