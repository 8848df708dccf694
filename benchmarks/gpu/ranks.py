"""Checks of the processes that train one net together: two GPUs, or two processes on a CPU."""

import subprocess
import sys

import torch

from benchmarks.gpu.check import Check, Found, Machine
from ml.config import TrainConfig
from ml.nn.checkpoint import load_tensors
from ml.nn.training.train import train
from tests.ml.nn.conftest import easy_world
from tests.ml.nn.training.ranked import ROOT, Order, carried_out, outcomes

OFF = 3e-6


def together(machine: Machine) -> Found:
    """The net that two ranks have trained for some steps, against the one of a single process."""
    data, config = easy_world(machine.folder), _config(machine, epochs=1)
    order = Order(config=config, data=data, out=machine.folder / "ranks")
    carried_out(machine.folder, [order])
    alone = machine.folder / "alone"
    alone.mkdir()
    train(config, data, alone)
    first, second = (load_tensors(out / "resume.safetensors") for out in (order.out, alone))
    off = max(float((first[name] - second[name]).abs().max()) for name in first if name.startswith("net."))
    return Found(off <= OFF, f"tensors differ by up to {off:.1e}")


def killed(machine: Machine) -> Found:
    """Two ranks of which one is killed in the second epoch, against two that are left alone."""
    data, config = easy_world(machine.folder), _config(machine, epochs=2)
    orders = [
        Order(config=config, data=data, out=machine.folder / "killed", die=6),
        Order(config=config, data=data, out=machine.folder / "undisturbed"),
    ]
    carried_out(machine.folder, orders, "--max-restarts=1")
    if not (orders[0].out / "died").exists():
        return Found(False, "no rank died")
    first, second = ((order.out / "model.safetensors").read_bytes() for order in orders)
    begun = outcomes(orders[0])[0].begun
    return Found(first == second, f"went on after step {begun}; {'equal' if first == second else 'other'} bytes")


def forked(machine: Machine) -> Found:
    """The net of a job that forks two ranks, against the one of a single process."""
    data, config = easy_world(machine.folder), _config(machine, epochs=1)
    found = []
    for count in (1, 2):
        out = machine.folder / f"by {count}"
        out.mkdir()
        order = Order(config=config, data=data, out=out)
        (machine.folder / "order.json").write_text(order.model_dump_json())
        command = [sys.executable, "-m", "tests.ml.nn.training.forked", str(machine.folder), str(count)]
        subprocess.run(command, cwd=ROOT, check=True)  # this process has used the GPU, so it cannot fork
        found.append(load_tensors(out / "model.safetensors"))
    off = max(float((found[0][name] - found[1][name]).abs().max()) for name in found[0])
    return Found(off <= OFF, f"tensors differ by up to {off:.1e}")


def _config(machine: Machine, *, epochs: int) -> TrainConfig:
    torch.set_num_threads(1)
    return TrainConfig.model_validate(_SMALL | {"epochs": epochs, "device": machine.device.type})


_SMALL = {
    "net": {"depth": 2, "width": 4},
    "batch_size": 4,
    "chip_size": 32,
    "steps_per_epoch": 4,
    "optimizer": {"lr": 0.05},
    "precision": "float32",
}
CHECKS = (
    Check("two ranks against one process", f"within {OFF:g}", together, gpus=2),
    Check("two ranks that a job forks", f"within {OFF:g} of one process", forked, gpus=2),
    Check("two ranks of which one is killed", "equal bytes", killed, gpus=2),
)
