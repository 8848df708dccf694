"""Checks of the training: the loss, the step, and that the same training has the same weights."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu.check import Check, Found, Machine
from benchmarks.training_world import World, make_world
from ml.config import NetConfig, TrainConfig
from ml.contract import BandStatistics
from ml.nn.checkpoint import load_tensors
from ml.nn.normalise import normalise
from ml.nn.precision import repeatable
from ml.nn.training.chips import Batch, ChipSampler
from ml.nn.training.execution import choose_execution
from ml.nn.training.losses import lovasz_hinge
from ml.nn.training.state import TrainingState
from ml.nn.training.step import Stepper
from ml.nn.training.train import train
from ml.progress import Progress

ROOT = Path(__file__).resolve().parents[2]
PIXELS = 524_288
HINGE_OFF, HINGE_MS = 1e-6, 1.0
STEP_MS, CHIPS_S = 16.0, 600.0
BATCHES = (8, 32, 64)
STEPS_AN_EPOCH = 10
DTYPES = (np.uint8, np.uint16, np.int16, np.float32)


def hinge(machine: Machine) -> Found:
    """The Lovász hinge and its gradient on this device against float64 on a CPU."""
    scores, target = _pixels()
    value, slopes = _hinge(scores.to(machine.device), target.to(machine.device))
    exact, exact_slopes = _hinge(scores.double(), target)
    off = abs(value - exact) / exact
    slopes_off = float((slopes.double() - exact_slopes).norm() / exact_slopes.norm())
    return Found(max(off, slopes_off) < HINGE_OFF, f"loss off by {off:.1e}, gradient by {slopes_off:.1e}")


def _hinge(scores: Tensor, target: Tensor) -> tuple[float, Tensor]:
    leaf = scores.clone().requires_grad_()
    loss = lovasz_hinge(leaf, target)
    loss.backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    return float(loss.detach()), leaf.grad.cpu()


def _pixels() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    target = (torch.rand(PIXELS, generator=random) < 0.3).to(torch.uint8)
    target[torch.rand(PIXELS, generator=random) < 0.1] = 255
    return 2 * torch.randn(PIXELS, generator=random), target


def hinge_time(machine: Machine) -> Found:
    """The milliseconds of the hinge and its gradient, which never wait for the GPU."""
    scores, target = (tensor.to(machine.device) for tensor in _pixels())
    leaf = scores.requires_grad_()
    lovasz_hinge(leaf, target).backward()  # type: ignore[no-untyped-call]
    torch.cuda.set_sync_debug_mode("error")
    try:
        lovasz_hinge(leaf, target).backward()  # type: ignore[no-untyped-call]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    times = []
    for _ in range(20):
        torch.cuda.synchronize()
        start = time.perf_counter()
        lovasz_hinge(leaf, target).backward()  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start))
    found = statistics.median(times)
    return Found(found <= HINGE_MS, f"{found:.2f} ms for {PIXELS} pixels, no wait")


def steps(machine: Machine) -> Found:
    """The milliseconds of a whole step, by the number of chips of 256 px in a batch."""
    world = make_world(machine.folder, 1024)
    found = {size: _step_ms(_config(machine, size), world) for size in BATCHES}
    chips_s = 1e3 * BATCHES[-1] / found[BATCHES[-1]]
    good = found[BATCHES[0]] <= STEP_MS and chips_s >= CHIPS_S
    said = ", ".join(f"{size} chips: {ms:.1f} ms" for size, ms in found.items())
    return Found(good, f"{said}; {chips_s:.0f} chips/s")


def _step_ms(config: TrainConfig, world: World) -> float:
    count = 40
    with _training(config, world, count) as (stepper, batches):
        for number in range(10):
            stepper.step(batches, number, config.optimizer.lr, lambda: None)
        torch.cuda.synchronize()
        start = time.perf_counter()
        for number in range(10, count):
            stepper.step(batches, number, config.optimizer.lr, lambda: None)
        torch.cuda.synchronize()
        return 1e3 * (time.perf_counter() - start) / (count - 10)


@contextmanager
def _training(config: TrainConfig, world: World, count: int) -> Iterator[tuple[Stepper, Iterator[Batch]]]:
    """A training before its first step, and the batches of its first `count` steps."""
    execution = choose_execution(config)
    state = TrainingState(config, world.data, execution)
    state.net.train()
    stepper = Stepper(config, world.data.contract, state, execution)
    sampler = ChipSampler([world.cached], config, world.data.contract)
    places = sampler.epoch(0)
    with stepper.batches(sampler, [places[number % len(places)] for number in range(count)]) as batches:
        yield stepper, batches


def _config(machine: Machine, batch_size: int, **changes: object) -> TrainConfig:
    net = NetConfig(depth=4, width=64) if machine.gpu else NetConfig(depth=2, width=4)
    wanted = {"net": net, "batch_size": batch_size, "device": machine.device.type, "loss": _LOSS}
    wanted |= {"chip_size": 256 if machine.gpu else 32}
    return TrainConfig.model_validate(wanted | changes)


_LOSS = {"ce": 1.0, "lovasz_hinge": 0.5}


def waits(machine: Machine) -> Found:
    """Some steps with either Lovász loss, in which a wait of the host for the GPU would raise."""
    world = make_world(machine.folder, 512)
    for per_image in (False, True):
        config = _config(machine, 8, loss=_LOSS | {"per_image": per_image})
        with repeatable(choose_execution(config).precision), _training(config, world, 8) as (stepper, batches):
            for number in range(4):  # the first ones choose algorithms and reserve memory
                stepper.step(batches, number, config.optimizer.lr, lambda: None)
            torch.cuda.synchronize()
            torch.cuda.set_sync_debug_mode("error")
            try:
                for number in range(4, 8):
                    stepper.step(batches, number, config.optimizer.lr, lambda: None)
            finally:
                torch.cuda.set_sync_debug_mode("default")
    return Found(True, "8 steps, no wait")


def determinism(machine: Machine) -> Found:
    """Some steps under PyTorch's strict rule, which refuses what may differ from run to run."""
    world, config = make_world(machine.folder, 512), _config(machine, 8)
    torch.use_deterministic_algorithms(True)
    try:
        with (
            warnings.catch_warnings(),
            repeatable(choose_execution(config).precision),
            _training(config, world, 3) as (stepper, batches),
        ):
            warnings.simplefilter("error")
            for number in range(3):
                stepper.step(batches, number, config.optimizer.lr, lambda: None)
    finally:
        torch.use_deterministic_algorithms(False)
    return Found(True, "3 steps, no warning")


def weights(machine: Machine) -> Found:
    """The weights of two trainings, and of one that was killed and went on."""
    for out, die_at in (("first", 0), ("second", 0), ("killed", 33), ("killed", 0)):
        code = _train(machine, machine.folder / out, die_at)
        if (code != 0) != bool(die_at):
            return Found(False, f"a training ended with exit code {code}")
    first, *others = (
        load_tensors(machine.folder / out / "resume.safetensors") for out in ("first", "second", "killed")
    )
    equal = [all(torch.equal(first[name], other[name]) for name in first) for other in others]
    names = ("a second training", "a kill after step 33")
    return Found(
        all(equal),
        ", ".join(f"{name}: {'equal' if same else 'other'} bytes" for name, same in zip(names, equal, strict=True)),
    )


def _train(machine: Machine, out: Path, die_at: int) -> int:
    """Train in a new process, which dies at a step unless that is 0; returns its exit code."""
    call = "import sys; from benchmarks.gpu import training; training.train_in(*sys.argv[1:])"
    command = [sys.executable, "-c", call, str(machine.folder), str(out), machine.device.type, str(die_at)]
    return subprocess.run(command, cwd=ROOT, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}).returncode


def train_in(folder: str, out: str, device: str, die_at: str) -> None:
    """Train 50 steps on the world in a folder."""
    machine = Machine(torch.device(device), Path(folder))
    world = make_world(Path(tempfile.mkdtemp(dir=folder)), 512)
    config = _config(machine, 8, epochs=5, steps_per_epoch=STEPS_AN_EPOCH)

    def watch(progress: Progress) -> None:
        if progress.stage == "train" and progress.done == int(die_at) != 0:
            os._exit(9)

    torch.set_num_threads(1)
    Path(out).mkdir(exist_ok=True)
    train(config, world.data, Path(out), watch)


def chips(machine: Machine) -> Found:
    """Normalised pixels of each dtype on this device against float32 of NumPy."""
    found = {np.dtype(dtype).name: _ulps(machine, np.dtype(dtype)) for dtype in DTYPES}
    return Found(max(found.values()) <= 1, ", ".join(f"{name}: {ulps} ulp" for name, ulps in found.items()))


def _ulps(machine: Machine, dtype: np.dtype) -> int:
    """The largest distance of a normalised pixel, in steps from one float32 to the next."""
    random = np.random.default_rng(0)
    pixels = (random.random((1, 2, 256, 256)) * (250 if dtype == np.uint8 else 30_000)).astype(dtype)
    band = BandStatistics(mean=101.3, std=17.7, min=0, max=30_000)
    image = torch.from_numpy(pixels).to(machine.device).float()
    ours = (
        normalise(image, torch.ones(1, 256, 256, dtype=torch.bool, device=machine.device), (band, band)).cpu().numpy()
    )
    exact = (pixels.astype(np.float32) - np.float32(band.mean)) / np.float32(band.std)
    return int(np.abs(_ordered(ours) - _ordered(exact)).max())


def _ordered(floats: np.ndarray) -> np.ndarray:
    """The bits of float32 as integers that are in the order of the floats, int64."""
    bits = floats.view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


_STEP = f"at most {STEP_MS:g} ms for {BATCHES[0]} chips, at least {CHIPS_S:g} chips/s at {BATCHES[-1]}"
CHECKS = (
    Check("Lovász hinge against float64", f"below {HINGE_OFF:g}", hinge),
    Check("time of the Lovász hinge", f"at most {HINGE_MS:g} ms, no wait for the GPU", hinge_time, needs_gpu=True),
    Check("time of a step", _STEP, steps, needs_gpu=True),
    Check("waits of a step for the GPU", "none", waits, needs_gpu=True),
    Check("strict determinism", "no warning and no error", determinism),
    Check("50 steps twice, and after a kill", "equal bytes", weights),
    Check("chips of each dtype normalised", "within an ulp of float32", chips),
)
