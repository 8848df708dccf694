"""The GPU of a worker: which one its jobs see, whether they can compute on it, and whether they still can."""

import os
import socket
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import structlog

from worker.gpu_lock import GpuLock
from worker.process import answer_of

DRIVER = Path("/proc/driver/nvidia/version")
HIDDEN = "CUDA_VISIBLE_DEVICES"
PROBE_S = 60.0  # a GPU that does not answer in this time, its start included, does not answer at all
log = structlog.get_logger()


@dataclass(frozen=True)
class Probe:
    """What a fresh process found.

    name: Of the GPUs, with their UUIDs; "" if none can be used. uuids: As nvidia-smi has them. why: Why not, in words.
    """

    name: str = ""
    uuids: tuple[str, ...] = ()
    why: str = ""


def probe(connection: Connection) -> None:
    """Compute something on each GPU that was chosen, or on the first one, and send a `Probe`."""
    import torch  # imported only when it is used, because torch takes seconds to import

    try:
        if not torch.cuda.is_available():
            raise RuntimeError(f"torch {torch.__version__} finds no GPU; {_driver()}")
        chosen, visible = os.environ.get(HIDDEN, "").count(",") + 1, torch.cuda.device_count()
        if visible < chosen:
            raise RuntimeError(f"of {chosen} GPUs it sees {visible}")
        for number in range(chosen):
            ones = torch.ones(256, 256, device=f"cuda:{number}")
            if (ones @ ones).sum().item() != 256**3:
                raise RuntimeError(f"GPU {number} of them computes wrong numbers")
        found = [torch.cuda.get_device_properties(number) for number in range(chosen)]
        uuids = tuple(f"GPU-{each.uuid}" for each in found)
        names = [f"{each.name}, {uuid}" for each, uuid in zip(found, uuids, strict=True)]
        connection.send(Probe(name="; ".join(names), uuids=uuids))
    except Exception as error:
        connection.send(Probe(why=str(error).partition("\n")[0]))


def _driver() -> str:
    """The version of NVIDIA's driver, in words."""
    try:
        return DRIVER.read_text().splitlines()[0].removeprefix("NVRM version: ")
    except OSError:
        return "no driver of NVIDIA is loaded"


def hide_others(chosen: str) -> None:
    """Let this process and those that it starts see only the chosen GPUs. Call it before the fork server starts.

    chosen: `CANEMAP_GPU`.
    """
    if chosen == "none":
        os.environ[HIDDEN] = ""
    elif chosen not in ("auto", "required"):
        os.environ[HIDDEN] = chosen


class WorkerGpu:
    """Whether a worker can do jobs on a GPU.

    usable: Whether it claims jobs that need one. trouble: Why it claims no jobs at all, in words; "" if it does.
    """

    def __init__(self, chosen: str, locks: Path, *, shared: bool = False) -> None:
        """Look for the GPUs in a fresh process, and take their locks.

        chosen: `CANEMAP_GPU`. locks: The folder of locks of GPUs. shared: Whether other workers may use the GPU, too.

        Raises `RuntimeError` if there is none, or another worker has it, although `chosen` requires one.
        """
        found = _ask() if chosen != "none" else Probe()
        self.usable, self._name, self.trouble = bool(found.name), found.name, ""
        if chosen not in ("auto", "none") and not self.usable:
            raise RuntimeError(f"CANEMAP_GPU is {chosen}, but no GPU can be used: {found.why}")
        log.info("looked for a GPU", gpu=found.name or "none")
        alone = not shared and chosen != "auto"
        self._locks = [take(uuid, locks, must_be_alone=alone) for uuid in found.uuids]

    def check_after_fault(self) -> None:
        """Probe the GPU after a job met an error of it. If it does not compute, this worker claims no jobs any more."""
        found = _ask()
        if not found.name:
            self.usable = False
            self.trouble = f"after an error its GPU ({self._name or 'unknown'}) cannot be used: {found.why}"
            log.error("the GPU failed: this worker claims no more jobs", gpu=self._name, why=found.why)


def take(uuid: str, locks: Path, *, must_be_alone: bool) -> GpuLock:
    """Take the lock of a GPU, and warn if another worker of this machine has it.

    must_be_alone: Raise `RuntimeError` then instead.
    """
    lock = GpuLock(locks, uuid, f"{socket.gethostname()}:{os.getpid()}")
    if not lock.held:
        if must_be_alone:
            hint = "Name another GPU in CANEMAP_GPU, or set CANEMAP_GPU_SHARED=true if both should use it."
            raise RuntimeError(f"the worker {lock.other} uses {uuid} already. {hint}")
        log.warning("another worker uses this GPU, too", gpu=uuid, worker=lock.other)
    return lock


def _ask() -> Probe:
    return answer_of(probe, PROBE_S) or Probe(why=f"it did not answer within {PROBE_S:g} s")
