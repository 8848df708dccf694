"""What a check is, and what it finds."""

import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch

GIB = 1 << 30


@dataclass(frozen=True)
class Machine:
    """Where the checks run. folder: An empty folder, for the files of one check."""

    device: torch.device
    folder: Path

    @property
    def gpu(self) -> bool:
        """Whether it is a GPU of NVIDIA that is checked."""
        return self.device.type == "cuda"


@dataclass(frozen=True)
class Found:
    """What a check has measured. good: Whether that is as expected. figure: The figures, in words."""

    good: bool
    figure: str


@dataclass(frozen=True)
class Check:
    """Something that must hold. needs_gpu: Whether a CPU says nothing about it. gpus: How many it needs then."""

    name: str
    expected: str
    run: Callable[[Machine], Found]
    needs_gpu: bool = False
    gpus: int = 1

    def finding(self, machine: Machine) -> "Finding":
        """Run the check. An exception is a failure with the exception as its figure."""
        if self.needs_gpu and not machine.gpu:
            return Finding(self.name, "skipped", "no GPU", self.expected)
        if machine.gpu and torch.cuda.device_count() < self.gpus:
            return Finding(self.name, "skipped", f"fewer than {self.gpus} GPUs", self.expected)
        try:
            found = self.run(machine)
        except Exception:
            return Finding(self.name, "fail", traceback.format_exc(limit=-4).strip(), self.expected)
        return Finding(self.name, "pass" if found.good else "fail", found.figure, self.expected)


@dataclass(frozen=True)
class Finding:
    """What is reported of a check."""

    check: str
    verdict: Literal["pass", "fail", "skipped"]
    figure: str
    expected: str

    def document(self) -> dict[str, str]:
        """The finding as JSON."""
        return asdict(self)
