"""What an error of CUDA means for a job: whether its GPU was full, and with whose memory, or failed."""

import re
import sys
from dataclasses import dataclass
from typing import Literal

_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SIZE = r"([\d.]+) (bytes|KiB|MiB|GiB|TiB)"
# as torch says how much memory a GPU has, how much of it is free, and how much this process uses
_TOTAL, _FREE, _OURS = (
    re.compile(text.replace("SIZE", _SIZE))
    for text in ("total capacity of SIZE", "of which SIZE is free", "this process has SIZE memory in use")
)
OTHERS = 0.05  # share of a GPU's memory; with less than this, other processes did not fill it
# how torch's libraries begin an error that has no class of its own
_FAULTS = ("CUDA error", "CUDA driver error", "CUDNN_", "cuDNN error", "cuFFT error", "CUBLAS_", "NCCL error")


@dataclass(frozen=True)
class GpuError:
    """An error of a GPU.

    what: "shared": its memory was full, and other processes had a share of it. "full": it was full with this job alone.
        "fault": anything else, after which nothing that this process computes on the GPU can be trusted.
    detail: In words, as the predicate of "the process of the job".
    """

    what: Literal["shared", "full", "fault"]
    detail: str


def gpu_error(error: BaseException | None) -> GpuError | None:
    """What `error`, or the error that it was raised from, says of a GPU; None if it says nothing of one."""
    torch = sys.modules.get("torch")
    while torch and error is not None:
        if isinstance(error, torch.OutOfMemoryError):
            return GpuError("shared" if _others_have_some(str(error)) else "full", "found no free memory on its GPU")
        if isinstance(error, torch.AcceleratorError) or (isinstance(error, RuntimeError) and _is_fault(str(error))):
            return GpuError("fault", f"met an error of its GPU: {_first_line(error)}")
        error = error.__cause__ or error.__context__
    return None


def _is_fault(text: str) -> bool:
    return text.startswith(_FAULTS)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0].strip()[:200]


def _others_have_some(text: str) -> bool:
    """Whether torch's message about a full GPU says that other processes have a share of its memory."""
    total, free, ours = (_bytes(pattern, text) for pattern in (_TOTAL, _FREE, _OURS))
    if total is None or free is None or ours is None:
        return False
    return total - free - ours > OTHERS * total


def _bytes(pattern: re.Pattern[str], text: str) -> float | None:
    found = pattern.search(text)
    return float(found[1]) * _UNITS[found[2]] if found else None
