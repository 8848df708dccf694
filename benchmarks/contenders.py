"""The contenders of the benchmarks of prediction."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.child import Measured, in_child


@dataclass(frozen=True)
class Contender:
    """A way to predict. module: Its module in `benchmarks.peers`. environment: Variables of its process."""

    module: str
    environment: Mapping[str, str] = field(default_factory=dict)


WHOLE = Contender("whole")
AS_IN_A_JOB = {"OMP_WAIT_POLICY": "PASSIVE", "MALLOC_ARENA_MAX": "1"}  # see worker/process.py
CONTENDERS = {
    "canemap": Contender("canemap", AS_IN_A_JOB),
    "canemap, PyTorch alone": Contender("canemap_torch", AS_IN_A_JOB),
    "naive loop, 512 + 64": Contender("naive"),
    "MONAI sliding window, gaussian": Contender("monai_window"),
    "TorchGeo grid sampler": Contender("torchgeo_grid"),
    "FTW-like": Contender("ftw_like"),
    "geoai-like": Contender("geoai_like"),
    "Raster Vision-like": Contender("rastervision_like"),
    "Deepness-like, ONNX Runtime": Contender("deepness_like"),
}


def make_model(scene: Path, folder: Path, width: int, depth: int) -> Path:
    """Write a checkpoint in `folder` that fits `scene` with `benchmarks.inputs.make_model`; its path."""
    model = folder / "model.safetensors"
    arguments = {"scene": str(scene), "path": str(model), "width": width, "depth": depth}
    in_child("benchmarks.inputs", "make_model", arguments)
    return model


def predict(contender: Contender, scene: Path, model: Path, folder: Path, *, net_clock: bool = False) -> Measured:
    """Let a contender write a map into a new folder under `folder`; the value of the result is the path of the map."""
    arguments = {"scene": str(scene), "model": str(model), "out": tempfile.mkdtemp(dir=folder)}
    module = f"benchmarks.peers.{contender.module}"
    return in_child(module, "predict", arguments, environment=contender.environment, net_clock=net_clock)
