"""Checks of the net as a stream of rows: how often it calls the GPU, how fast it is, and whether it is exact."""

import resource
import statistics
import time
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.check import Check, Found, Machine
from ml.nn.precision import FLOAT32, Name, Precision, repeatable
from ml.nn.prediction.row_stream import StreamNet, for_prediction
from ml.nn.unet import UNet
from tests.ml.nn.nets import convolutions_of_a_piece, net_with_a_past

DEPTHS = range(1, 7)
WIDTH, DEPTH, BANDS = 64, 4, 4  # the net of the figures
COLUMNS = (1024, 2048, 4096, 8192)
FAST_MPX_S, FROM_COLUMNS = 100.0, 2048
MOST_LAUNCHES = 250
SAME = 1e-4
FEEDS, GROWTH = 300, 0.02


def convolutions(_machine: Machine) -> Found:
    """A steady feed has one convolution a layer: on the device "meta", which takes the way of a GPU."""
    counts = {depth: convolutions_of_a_piece(depth) for depth in DEPTHS}
    good = all(count == 4 * depth + 2 for depth, count in counts.items())
    return Found(good, ", ".join(f"depth {depth}: {count}" for depth, count in counts.items()))


def launches(machine: Machine) -> Found:
    """Kernels that a steady feed starts."""
    stream, piece = _steady(machine, 4096)
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as profiled:
        stream.feed(piece)
        torch.cuda.synchronize()
    count = sum(event.count for event in profiled.key_averages() if event.key.startswith(("cudaLaunch", "cuLaunch")))
    return Found(0 < count <= MOST_LAUNCHES, f"{count} launches")


def speed(machine: Machine) -> Found:
    """Pixels that the net alone computes in a second, by the width of the scene."""
    found = {cols: _mpx_s(machine, cols) for cols in COLUMNS}
    good = all(rate >= FAST_MPX_S for cols, rate in found.items() if cols >= FROM_COLUMNS)
    return Found(good, ", ".join(f"{cols} columns: {rate:.0f} Mpx/s" for cols, rate in found.items()))


def _mpx_s(machine: Machine, cols: int) -> float:
    stream, piece = _steady(machine, cols)
    rates = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(8):
            stream.feed(piece)
        torch.cuda.synchronize()
        rates.append(8 * piece.shape[1] * cols / 1e6 / (time.perf_counter() - start))
    return statistics.median(rates)


def _steady(machine: Machine, cols: int) -> tuple[Any, Tensor]:
    """A stream that has computed some pieces, and the next piece."""
    net = for_prediction(net_with_a_past(BANDS, DEPTH, 0, WIDTH), machine.device)
    piece = torch.randn(BANDS, net.rows(cols), cols, device=machine.device)
    stream = net.open()
    for _ in range(4):
        stream.feed(piece)
    return stream, piece


def float32(machine: Machine) -> Found:
    """The stream against the whole net, both in float32 on this device."""
    off = _off(machine, "float32")
    return Found(off < SAME, f"largest difference {off:.1e} of the largest logit")


def tf32(machine: Machine) -> Found:
    """The same in TF32: if this passed, the check of float32 could not fail."""
    off = _off(machine, "tf32")
    return Found(off > SAME, f"largest difference {off:.1e} of the largest logit")


def _off(machine: Machine, name: Name) -> float:
    net, image = _small(machine)
    with repeatable(FLOAT32), torch.inference_mode():
        whole = net(image[None])[0]
    with repeatable(Precision(name)):
        return _apart(for_prediction(net, machine.device, precision=name), image, whole)


def _apart(net: StreamNet, image: Tensor, whole: Tensor) -> float:
    """The largest difference of the logits of pieces from those of the whole image, by the largest of these."""
    return float((_in_pieces(net, image) - whole).abs().max() / whole.abs().max())


def _in_pieces(net: StreamNet, image: Tensor) -> Tensor:
    """The logits of an image that flows through the net in pieces of uneven heights."""
    stream, row, heights = net.open(), 0, (48, 16, 80, 112)
    found: list[Tensor] = []
    while row < image.shape[1]:
        end = min(row + heights[len(found) % len(heights)], image.shape[1])
        found.append(stream.feed(image[:, row:end], last=end == image.shape[1]))
        row = end
    return torch.cat(found, dim=1)


def _small(machine: Machine) -> tuple[UNet, Tensor]:
    torch.manual_seed(1)
    image = torch.randn(BANDS, 384, 320)
    return net_with_a_past(BANDS, DEPTH, 0, 16).to(machine.device), image.to(machine.device)


def against_cpu(machine: Machine) -> Found:
    """The stream on this GPU against the one on the CPU, in float32."""
    net, image = _small(machine)
    with repeatable(FLOAT32):
        found = _in_pieces(for_prediction(net, machine.device, precision="float32"), image).cpu()
    whole = _in_pieces(for_prediction(net.cpu(), torch.device("cpu"), precision="float32"), image.cpu())
    off = float((found - whole).abs().max() / whole.abs().max())
    return Found(off < SAME, f"largest difference {off:.1e} of the largest logit")


def memory(machine: Machine) -> Found:
    """The memory that many feeds keep."""
    cols = 1024 if machine.gpu else 128
    net = for_prediction(net_with_a_past(BANDS, DEPTH, 0, WIDTH if machine.gpu else 8), machine.device)
    stream, piece = net.open(), torch.randn(BANDS, net.rows(cols), cols, device=machine.device)
    marks = []
    for number in range(FEEDS):
        stream.feed(piece)
        if number in (FEEDS // 3, FEEDS - 1):
            marks.append(_bytes(machine))
    growth = marks[1] / marks[0] - 1
    return Found(growth < GROWTH, f"{marks[0] / 1e6:.0f} MB after a third, {marks[1] / 1e6:.0f} MB at the end")


def _bytes(machine: Machine) -> int:
    """The memory in use on the device; on a CPU the most that this process has had."""
    if machine.gpu:
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated(machine.device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


_EXACT = f"below {SAME:g}"
CHECKS = (
    Check("convolutions a piece of the CUDA branch", "4 x depth + 2: 18 at depth 4", convolutions),
    Check("launches of a steady feed", f"at most {MOST_LAUNCHES}", launches, needs_gpu=True),
    Check(
        "speed of the net alone", f"at least {FAST_MPX_S:g} Mpx/s from {FROM_COLUMNS} columns", speed, needs_gpu=True
    ),
    Check("stream against whole net in float32", _EXACT, float32),
    Check("TF32 is told from float32", f"above {SAME:g}", tf32, needs_gpu=True),
    Check("stream on the GPU against the CPU", _EXACT, against_cpu, needs_gpu=True),
    Check(f"memory of {FEEDS} feeds", f"grows by less than {100 * GROWTH:g} % after the first third", memory),
)
