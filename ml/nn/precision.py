"""Precisions: how the products of a net are computed, and the switches of PyTorch that make them repeatable.

PyTorch computes the convolutions of float32 tensors on a GPU in TF32 by itself, which has the exponent of float32 and
10 bits of its mantissa. Here "float32" means float32 as IEEE 754 has it, and TF32 is a precision of its own.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch

from ml.faults import Fault, InputRefused

Name = Literal["float32", "tf32", "bfloat16"]
TENSOR_CORES = (8, 0)  # the compute capability from which GPUs have TF32
WARNINGS, ERRORS = 1, 2  # the debug modes of PyTorch for algorithms that are not repeatable
# PyTorch's products of matrices are repeatable on a GPU only with a workspace of a fixed size
WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@dataclass(frozen=True)
class Precision:
    """The precision of the products of a net."""

    name: Name = "float32"

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights and features of a net that maps."""
        return torch.bfloat16 if self.name == "bfloat16" else torch.float32


FLOAT32 = Precision("float32")
# Nets are scored in this precision on every device, whatever they were trained in, so that scores can be compared: a
# GPU has faster ones, which a CPU emulates at a tenth of its speed or not at all.
SCORED = FLOAT32


def choose_precision(name: str, device: torch.device) -> Precision:
    """Return the precision for `name` on `device`: that with this name, or for "auto" the fastest that is usual there.

    "auto" is bfloat16 on a GPU that computes in it without emulation, else float32.

    Raises:
        InputRefused: code `no_tf32`: `name` is "tf32", which `device` has not.
    """
    on_gpu = device.type == "cuda"
    if name == "tf32" and not (on_gpu and torch.cuda.get_device_capability(device) >= TENSOR_CORES):
        hint = "Set precision to auto or float32, or device to cuda, so that a machine with such a GPU does the work."
        raise InputRefused(Fault("no_tf32", "TF32 needs a GPU of NVIDIA from A100 on.", hint, "/precision"))
    if name == "auto":
        return Precision("bfloat16") if on_gpu and torch.cuda.is_bf16_supported(including_emulation=False) else FLOAT32
    return Precision(cast(Name, name))


def device_name(device: torch.device) -> str:
    """Return the name of a GPU's model, or the type of another device: devices of one name compute the same bits."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@contextmanager
def repeatable(precision: Precision, *, compiled: bool = False) -> Iterator[None]:
    """Compute in `precision` in this context, and only by algorithms that give the same bits each time.

    These switches belong to the whole process. Contexts may be nested; the inner one counts. Where a device has no such
    algorithm, PyTorch warns. PyTorch would also fill each new tensor, so that a use of it before it is written gives
    the same bits; that costs hundreds of launches a step, and nothing here uses a tensor so.

    compiled: Whether a net is compiled in it. Only then torch's compiler is told, for which torch must import it.
    """
    os.environ.setdefault(*WORKSPACE)
    convolutions, products = cast(Any, torch.backends.cudnn).conv, torch.backends.cuda.matmul
    before = (convolutions.fp32_precision, products.fp32_precision)
    deterministic = cast(Any, torch.utils.deterministic)
    benchmark, fill = torch.backends.cudnn.benchmark, deterministic.fill_uninitialized_memory
    mode = torch.get_deterministic_debug_mode()
    convolutions.fp32_precision = products.fp32_precision = "tf32" if precision.name == "tf32" else "ieee"
    torch.backends.cudnn.benchmark = False  # it would choose the algorithm that is faster at this moment
    deterministic.fill_uninitialized_memory = False
    if compiled:
        torch.use_deterministic_algorithms(True, warn_only=mode < ERRORS)
    torch.set_deterministic_debug_mode(max(mode, WARNINGS))  # a caller that wants errors instead of warnings gets them
    try:
        yield
    finally:
        convolutions.fp32_precision, products.fp32_precision = before
        torch.backends.cudnn.benchmark, deterministic.fill_uninitialized_memory = benchmark, fill
        if compiled:
            torch.use_deterministic_algorithms(mode > 0, warn_only=mode < ERRORS)
        torch.set_deterministic_debug_mode(mode)
