"""Checks of the driver, and of a process that begins to use the GPU."""

import json
import subprocess
import sys

import torch

from benchmarks.gpu.check import GIB, Check, Found, Machine

OPEN_S = 3.0
_OPEN = """
import json, time, torch
start = time.perf_counter()
ones = torch.ones(512, 512, dtype=torch.bfloat16, device="cuda")
total = float((ones @ ones).float().sum())
print(json.dumps({"seconds": time.perf_counter() - start, "total": total}))
"""


def versions(machine: Machine) -> Found:
    """The driver, CUDA, PyTorch and the GPU."""
    gpu = torch.cuda.get_device_properties(machine.device)
    asked = ("nvidia-smi", "--query-gpu=driver_version,uuid", "--format=csv,noheader")
    driver = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.splitlines()
    said = "; ".join(driver) or "nvidia-smi says nothing"
    memory = f"{gpu.total_memory / GIB:.0f} GiB, compute capability {gpu.major}.{gpu.minor}"
    return Found(gpu.major >= 7, f"{gpu.name}, {memory}; {said}; torch {torch.__version__}, CUDA {torch.version.cuda}")


def opening(machine: Machine) -> Found:
    """A new process opens the GPU and multiplies two matrices in bfloat16."""
    command = [sys.executable, "-c", _OPEN]
    done = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    good = done["total"] == 512**3 and done["seconds"] < OPEN_S
    return Found(good, f"{done['seconds']:.2f} s after its imports")


CHECKS = (
    Check("driver and versions", "compute capability 7.0 or higher", versions, needs_gpu=True),
    Check("a new process opens the GPU", f"under {OPEN_S:g} s, and a right product", opening, needs_gpu=True),
)
