"""Measures training: the cost of a step beyond its net, chips, confusion counts, and the memory format.

    python benchmarks/bench_training.py [--quick]

benchmarks/training_loops.py describes the loops. Times are of one step of the optimiser.
"""

import argparse
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import rasterio
import torch
from rasterio.windows import Window
from sklearn.metrics import confusion_matrix
from torchgeo.datasets import RasterDataset
from torchgeo.samplers import RandomGeoSampler
from torchmetrics.functional.classification import binary_confusion_matrix

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import training_loops as loops
from benchmarks.side_by_side import medians, show
from benchmarks.training_world import World, make_world, twin
from ml.config import LossConfig, NetConfig, OptimizerConfig, TrainConfig
from ml.evaluation.metrics import confusion
from ml.nn.training.chips import ChipPosition, ChipSampler
from ml.nn.unet import UNet, make_net

CHIPS = 16  # that a contender cuts in one turn
Contenders = dict[str, Callable[[], object]]


def config_of(*, quick: bool, width: int = 32) -> TrainConfig:
    return TrainConfig(
        net=NetConfig(depth=4, width=8 if quick else width),
        batch_size=2 if quick else 4,
        chip_size=128 if quick else 256,
        loss=LossConfig(ce=1.0, lovasz_hinge=0.5),
        optimizer=OptimizerConfig(name="adamw", lr=1e-3),
        device="cpu",
    )


def compare_loops(world: World, *, quick: bool) -> None:
    config, steps = config_of(quick=quick), 2
    torch.manual_seed(0)
    net = make_net(world.data.contract, config.net)
    contenders = {
        "net alone, forward and backward": loops.bare(net, config, steps),
        "canemap": loops.canemap(config, world, steps),
        "PyTorch DataLoader": loops.plain_pytorch(net, config, world, steps),
        "TorchGeo, plain loop": loops.torchgeo(net, config, world, steps),
        "TorchGeo + Lightning": loops.torchgeo_lightning(net, config, world, steps),
        "MONAI CacheDataset": loops.monai_cache(net, config, world, steps),
    }
    seconds = medians(contenders, rounds=2 if quick else 7)
    least = seconds["net alone, forward and backward"]
    show(
        f"One step: {config.batch_size} chips of {config.chip_size} px, 4 bands, width {config.net.width}",
        ("loop", "ms a step", "beyond the net, %"),
        ((name, 1000 * each / steps, 100 * (each / least - 1)) for name, each in seconds.items()),
    )


def compare_chips(world: World, folder: Path, *, quick: bool) -> None:
    config = TrainConfig(batch_size=CHIPS, loss=LossConfig(ce=1.0))
    size, (rows, cols) = config.chip_size, world.mask.shape
    sampler = ChipSampler([world.cached], config, world.data.contract)
    corners = places(rows - size, cols - size)
    chw = np.memmap(folder / "chw", np.uint16, "w+", shape=world.pixels.shape)
    chw[:] = world.pixels
    hwc = np.memmap(folder / "hwc", np.uint16, "w+", shape=(rows, cols, 4))
    hwc[:] = world.pixels.transpose(1, 2, 0)
    dataset = RasterDataset([str(world.image)])
    geo = RandomGeoSampler(dataset, size=size, length=CHIPS)
    labelled = loops.geo_dataset(world)
    geo_labelled = RandomGeoSampler(labelled, size=size, length=CHIPS)
    with rasterio.open(world.image) as file:
        contenders: Contenders = {
            "TorchGeo, images and labels": lambda: [labelled[query] for query in geo_labelled],
            "TorchGeo, images": lambda: [dataset[query] for query in geo],
            "rasterio, an open file, images": lambda: [
                file.read(window=Window(p.col, p.row, size, size)) for p in next(corners)
            ],
            "numpy.memmap, bands apart, images": lambda: [
                np.array(chw[:, p.row : p.row + size, p.col : p.col + size]) for p in next(corners)
            ],
            "numpy.memmap, bands together, images": lambda: [
                np.array(hwc[p.row : p.row + size, p.col : p.col + size]) for p in next(corners)
            ],
            "canemap, with validity and labels": lambda: sampler.cut(next(corners)),
            "canemap, drawing an epoch (all its chips checked)": lambda: sampler.epoch(1),
        }
        seconds = medians(contenders, rounds=3 if quick else 15)
    drawn = len(sampler.epoch(1)) * CHIPS
    each = {name: total / (drawn if "epoch" in name else CHIPS) for name, total in seconds.items()}
    show_against(f"Chips of {size} x {size} px, 4 bands of uint16", "ms a chip", each)


def places(rows: int, cols: int) -> Iterator[list[ChipPosition]]:
    """Endless random positions, so that no contender gains from a cached chip."""
    random = np.random.default_rng(1)
    while True:
        yield [ChipPosition(0, int(random.integers(rows + 1)), int(random.integers(cols + 1))) for _ in range(CHIPS)]


def compare_counts(*, quick: bool) -> None:
    random = np.random.default_rng(2)
    size = 1_000_000 if quick else 25_000_000
    truth = random.choice(np.array([0, 1, 255], np.uint8), size)
    predicted = random.integers(0, 2, size, dtype=np.uint8)
    labelled = truth != 255
    tensors = torch.from_numpy(predicted), torch.from_numpy(truth)
    contenders: Contenders = {
        "scikit-learn": lambda: confusion_matrix(truth[labelled], predicted[labelled]),
        "torchmetrics": lambda: binary_confusion_matrix(*tensors, ignore_index=255),
        "canemap": lambda: confusion(truth, predicted),
    }
    seconds = medians(contenders, rounds=2 if quick else 3)
    show_against(f"Confusion of {size // 1_000_000} million pixels", "ms", seconds)


def compare_memory_formats(*, quick: bool) -> None:
    rows = []
    for width in (8,) if quick else (32, 64):
        config = config_of(quick=quick, width=width)
        contenders = {
            name: training_step(config, memory_format)
            for name, memory_format in (("NCHW", torch.contiguous_format), ("last", torch.channels_last))
        }
        seconds = medians(contenders, rounds=2 if quick else 5)
        rows.append((width, 1000 * seconds["NCHW"], 1000 * seconds["last"], seconds["NCHW"] / seconds["last"]))
    show("Memory format, the net alone on a CPU", ("width", "NCHW ms", "channels last ms", "speed-up"), rows)


def training_step(config: TrainConfig, memory_format: torch.memory_format) -> Callable[[], object]:
    net, optimizer = twin(UNet(4, config.net.depth, config.net.width), config)
    net.to(memory_format=memory_format)  # type: ignore[call-overload]
    image = torch.randn(config.batch_size, 4, config.chip_size, config.chip_size)
    image = image.contiguous(memory_format=memory_format)

    def run() -> None:
        optimizer.zero_grad()
        net(image).mean().backward()
        optimizer.step()

    return run


def show_against(title: str, unit: str, seconds: Mapping[str, float]) -> None:
    """Print milliseconds, and how many times as fast as the first contender each one is."""
    slowest = next(iter(seconds.values()))
    rows = ((name, 1000 * each, slowest / each) for name, each in seconds.items())
    show(title, ("", unit, "times as fast as the first"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small run")
    quick = parser.parse_args().quick
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = make_world(folder, 1024 if quick else 4096)
        compare_chips(world, folder, quick=quick)
        compare_counts(quick=quick)
        compare_loops(world, quick=quick)
    compare_memory_formats(quick=quick)


if __name__ == "__main__":
    main()
