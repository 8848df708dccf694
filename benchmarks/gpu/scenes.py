"""Checks of the prediction of whole scenes: how fast it is, and that a map has the same bytes however it is made."""

import hashlib
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.shutil import copy
from torch.profiler import ProfilerActivity, profile

from benchmarks.child import in_child
from benchmarks.gpu.check import Check, Found, Machine
from ml.config import PredictConfig
from ml.data import SceneFile
from ml.nn.checkpoint import load_checkpoint
from ml.nn.normalise import choose_device
from ml.nn.prediction.predict import finish, predict, predict_rows
from ml.nn.prediction.row_stream import for_prediction
from ml.progress import Progress

LARGE_PX, SMALL_PX = 8192, 512
MPX_S = {1: 35.0, 4: 100.0}  # by the number of processes
ROOT = Path(__file__).resolve().parents[2]
FLIPS = 0.005
FEW = 8  # small tensors: statistics and values of classes
KILLED_AFTER = 2  # pieces


def speed(machine: Machine) -> Found:
    """Pixels of whole scenes a second, classes only, from reading to the map."""
    scene, model = _made(machine, LARGE_PX, width=64)
    zstd = scene.with_name("zstd.tif")
    copy(scene, zstd, driver="GTiff", compress="zstd", tiled=True, blockxsize=512, blockysize=512)
    rates = {}
    for name, path in (("DEFLATE", scene), ("ZSTD", zstd)):
        for processes in MPX_S:
            rates[name, processes] = _mpx_s(machine, model, path, processes)
    good = all(rate >= MPX_S[processes] for (_, processes), rate in rates.items())
    return Found(good, ", ".join(f"{name} by {count}: {rate:.0f} Mpx/s" for (name, count), rate in rates.items()))


def _mpx_s(machine: Machine, model: Path, scene: Path, processes: int) -> float:
    """The rate of some processes that each map the scene once, after one has warmed the caches of the disk."""
    outs = [machine.folder / f"{scene.stem}-{processes}-{number}" for number in range(processes)]
    commands = [_command("timed", model, scene, out, machine.device.type) for out in outs]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for command in commands]
    times = [tuple(map(float, each.communicate()[0].split()[-2:])) for each in running]
    seconds = max(end for _, end in times) - min(begin for begin, _ in times)
    return processes * LARGE_PX**2 / 1e6 / seconds


def copies(machine: Machine) -> Found:
    """The copies to the GPU while a scene is mapped: from pinned memory, and of the bytes that the scene has."""
    scene, model = _made(machine, SMALL_PX, width=16)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        map_(str(model), str(scene), str(machine.folder / "profiled"), machine.device.type)
    found = {event.key: event.count for event in profiled.key_averages() if "HtoD" in event.key}
    pinned = sum(count for name, count in found.items() if "Pinned" in name)
    pageable = sum(found.values()) - pinned
    net, _ = load_checkpoint(model)
    weights = len(net.state_dict())  # the net itself comes from pageable memory, before the scene
    return Found(pinned > 0 and pageable <= weights + FEW, f"{pinned} pinned, {pageable} pageable; {weights} tensors")


def bits(machine: Machine) -> Found:
    """The map of two processes, of one that was killed and went on, and of three parts."""
    scene, model = _made(machine, SMALL_PX, width=16)
    digests = {}
    for name in ("one process", "another"):
        _do("map_", model, scene, machine.folder / name, machine)
        digests[name] = _sha256(machine.folder / name)
    resumed = machine.folder / "resumed"
    if _do("killed", model, scene, resumed, machine) == 0:
        return Found(False, "the process was not killed")
    _do("map_", model, scene, resumed, machine)
    digests["killed and resumed"] = _sha256(resumed)
    digests["three parts"] = _of_parts(machine, model, scene)
    said = ", ".join(f"{name}: {digest[:12]}" for name, digest in digests.items())
    return Found(len(set(digests.values())) == 1, said)


def _of_parts(machine: Machine, model: Path, scene: Path) -> str:
    config, file, out = _config(machine.device.type), SceneFile(name="scene", path=scene), machine.folder / "parts"
    net, _ = load_checkpoint(model)
    step = for_prediction(net, choose_device(config.device)).rows(SMALL_PX)
    edges = (0, step, 2 * step, SMALL_PX)
    parts = [predict_rows(model, file, out / str(begin), config, range(begin, end)) for begin, end in pairwise(edges)]
    finish(parts, model, file, out, config)
    return _sha256(out)


def bfloat16(machine: Machine) -> Found:
    """The share of pixels whose class the precision bfloat16 changes."""
    scene, model = _made(machine, SMALL_PX, width=16)
    maps = []
    for precision in ("float32", "bfloat16"):
        config = _config(machine.device.type).model_copy(update={"precision": precision})
        predict(model, SceneFile(name="scene", path=scene), machine.folder / precision, config)
        maps.append(_classes(machine.folder / precision))
    flips = float((maps[0] != maps[1]).mean())
    return Found(0 < flips <= FLIPS, f"{100 * flips:.2f} %")


def _made(machine: Machine, size: int, width: int) -> tuple[Path, Path]:
    """A scene of `size` x `size` pixels, and a model for it."""
    scene, model = machine.folder / "scene.tif", machine.folder / "model.safetensors"
    in_child("benchmarks.inputs", "make_scene", {"path": str(scene), "size": size})
    made = {"scene": str(scene), "path": str(model), "width": width, "depth": 4}
    in_child("benchmarks.inputs", "make_model", made)
    return scene, model


def _config(device: str) -> PredictConfig:
    return PredictConfig.model_validate({"outputs": ["classes"], "device": device})


def _command(function: str, *arguments: object) -> list[str]:
    call = f"import sys; from benchmarks.gpu import scenes; scenes.{function}(*sys.argv[1:])"
    return [sys.executable, "-c", call, *map(str, arguments)]


def _do(function: str, model: Path, scene: Path, out: Path, machine: Machine) -> int:
    """Call a function of this module in a new process; returns its exit code."""
    command = _command(function, model, scene, out, machine.device.type)
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def _sha256(out: Path) -> str:
    return hashlib.sha256(_classes(out).tobytes()).hexdigest()


def _classes(out: Path) -> NDArray[np.uint8]:
    with rasterio.open(out / "classes.tif") as file:
        classes: NDArray[np.uint8] = file.read(1)
    return classes


def map_(model: str, scene: str, out: str, device: str) -> None:
    """Map a scene."""
    predict(Path(model), SceneFile(name="scene", path=Path(scene)), Path(out), _config(device))


def killed(model: str, scene: str, out: str, device: str) -> None:
    """Map a scene, and end this process at once when some pieces are finished."""
    pieces = 0

    def watch(progress: Progress) -> None:
        nonlocal pieces
        pieces += progress.stage == "predict"
        if pieces == KILLED_AFTER:
            os._exit(9)

    predict(Path(model), SceneFile(name="scene", path=Path(scene)), Path(out), _config(device), watch)


def timed(model: str, scene: str, out: str, device: str) -> None:
    """Map a scene, and print when that began and ended, in seconds of a clock that all processes share."""
    choose_device(device)
    begin = time.monotonic()
    map_(model, scene, out, device)
    print(begin, time.monotonic())


_SPEED = f"at least {MPX_S[1]:g} Mpx/s by 1 process, {MPX_S[4]:g} by 4"
CHECKS = (
    Check(f"speed of a scene of {LARGE_PX} px", _SPEED, speed, needs_gpu=True),
    Check("copies of a scene to the GPU", "all from pinned memory, but the net's", copies, needs_gpu=True),
    Check("classes that bfloat16 changes", f"some, but at most {100 * FLIPS:g} % of the pixels", bfloat16),
    Check("one map from two processes, a kill and three parts", "one sha256", bits),
)
