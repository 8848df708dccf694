"""The training loops of canemap and of its peers, with the same net and loss: each call makes some steps.

Peers read, cut and normalise in the training process (num_workers=0): on two cores their workers would take time from
the convolutions. Peers do not augment; canemap's loop does all its augmentations.
"""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import rasterio
import torch
from monai.data import CacheDataset
from monai.transforms import Compose, RandSpatialCropd
from rasterio.windows import Window
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchgeo.datasets import RasterDataset, stack_samples
from torchgeo.samplers import RandomGeoSampler
from torchgeo.trainers import SemanticSegmentationTask

from benchmarks.training_world import MEAN, STD, World, twin
from ml.config import LossConfig, TrainConfig
from ml.nn.training.chips import ChipSampler
from ml.nn.training.execution import choose_execution
from ml.nn.training.losses import total_loss
from ml.nn.training.state import TrainingState
from ml.nn.training.step import Stepper

Steps = Callable[[], object]
Sample = dict[str, Tensor]


def bare(net: nn.Module, config: TrainConfig, steps: int) -> Steps:
    """Forward, backward and optimiser on a tensor that is ready, without a loss: the least that a step costs."""
    own, optimizer = twin(net, config)
    image = torch.randn(config.batch_size, 4, config.chip_size, config.chip_size)

    def run() -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            logits = own(image)
            logits.backward(torch.full_like(logits, 1 / logits.numel()))
            optimizer.step()

    return run


def canemap(config: TrainConfig, world: World, steps: int) -> Steps:
    """The loop of `ml.nn.training.train`: chips, augmentation, loss and sums of the loss."""
    execution = choose_execution(config)
    run = TrainingState(config, world.data, execution)
    run.net.train()
    stepper = Stepper(config, world.data.contract, run, execution)
    sampler = ChipSampler([world.cached], config, world.data.contract)
    places = sampler.epoch(0)[:steps]

    def epoch() -> None:
        with stepper.batches(sampler, places) as batches:
            for number in range(steps):
                stepper.step(batches, number, config.optimizer.lr, lambda: None)
            stepper.losses()

    return epoch


def plain_pytorch(net: nn.Module, config: TrainConfig, world: World, steps: int) -> Steps:
    """A DataLoader over random windows of open files, and the usual loop of tutorials."""
    dataset = Windows(world.image, world.labels, config.chip_size, steps * config.batch_size)
    return _loop(net, config, lambda: iter(DataLoader(dataset, config.batch_size)))


def torchgeo(net: nn.Module, config: TrainConfig, world: World, steps: int) -> Steps:
    """TorchGeo's RasterDataset and RandomGeoSampler with a plain loop, as in its documentation."""
    return _loop(net, config, lambda: (_normal(batch) for batch in geo_loader(world, config, steps)))


def torchgeo_lightning(net: nn.Module, config: TrainConfig, world: World, steps: int) -> Steps:
    """TorchGeo's SemanticSegmentationTask with canemap's net and loss, run by Lightning's Trainer."""
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    task = Task(net, config)

    def fit() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = lightning.Trainer(accelerator="cpu", max_epochs=1, enable_model_summary=False, **quiet)
            trainer.fit(task, geo_loader(world, config, steps))

    return fit


def monai_cache(net: nn.Module, config: TrainConfig, world: World, steps: int) -> Steps:
    """MONAI's CacheDataset: the whole scene normalised in memory, and random crops of it."""
    whole = {"image": (world.pixels.astype(np.float32) - MEAN) / STD, "mask": world.mask[None]}
    size = (config.chip_size, config.chip_size)
    crop = Compose([RandSpatialCropd(keys=["image", "mask"], roi_size=size, random_size=False)])
    data = CacheDataset([whole] * (steps * config.batch_size), crop, cache_num=1, progress=False)

    def batches() -> Iterator[Sample]:
        for batch in DataLoader(data, config.batch_size):
            yield {"image": batch["image"].as_tensor(), "mask": batch["mask"].as_tensor()[:, 0]}

    return _loop(net, config, batches)


def _loop(net: nn.Module, config: TrainConfig, batches: Callable[[], Iterator[Sample]]) -> Steps:
    own, optimizer = twin(net, config)

    def run() -> None:
        running = 0.0
        for batch in batches():
            optimizer.zero_grad()
            loss = loss_of(config, own(batch["image"]), batch["mask"])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            running += loss.item()

    return run


def loss_of(config: TrainConfig, logits: Tensor, mask: Tensor) -> Tensor:
    """The loss of canemap, used in all loops so that only the loops differ."""
    return total_loss(config.loss or LossConfig(ce=1), logits, mask)[0]


class Windows(Dataset[Sample]):
    """Random windows of a scene and its labels, read from files that stay open."""

    def __init__(self, image: Path, labels: Path, size: int, length: int) -> None:
        self._image, self._labels = rasterio.open(image), rasterio.open(labels)
        self._size, self._length = size, length
        self._random = np.random.default_rng(0)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        row, col = self._random.integers(0, self._image.height - self._size + 1, 2)
        window = Window(int(col), int(row), self._size, self._size)
        pixels = (self._image.read(window=window).astype(np.float32) - MEAN) / STD
        return {"image": torch.from_numpy(pixels), "mask": torch.from_numpy(self._labels.read(1, window=window))}


class Labels(RasterDataset):  # type: ignore[misc]  # without annotations where it is not installed
    """TorchGeo's dataset for masks."""

    is_image = False


def geo_dataset(world: World) -> Any:
    """Image and labels as TorchGeo joins them."""
    return RasterDataset([str(world.image)]) & Labels([str(world.labels)])


def geo_loader(world: World, config: TrainConfig, steps: int) -> Any:
    """A DataLoader of random chips of TorchGeo's sampler."""
    dataset = geo_dataset(world)
    sampler = RandomGeoSampler(dataset, size=config.chip_size, length=steps * config.batch_size)
    return DataLoader(dataset, config.batch_size, sampler=sampler, collate_fn=stack_samples)


def _normal(batch: dict[str, Any]) -> Sample:
    return {"image": (batch["image"] - MEAN) / STD, "mask": batch["mask"].squeeze(1)}


class Task(SemanticSegmentationTask):  # type: ignore[misc]  # without annotations where it is not installed
    """TorchGeo's task, with its metrics, around canemap's net and loss."""

    ignore = ("net", "config")

    def __init__(self, net: nn.Module, config: TrainConfig) -> None:
        self._parts = net, config
        super().__init__(in_channels=4, task="binary")

    def configure_models(self) -> None:
        self.model, self._optimizer = twin(*self._parts)

    def configure_losses(self) -> None:
        config = self._parts[1]
        self.criterion = lambda logits, mask: loss_of(config, logits[:, None], mask)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self._optimizer

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> Sample:
        return _normal(batch)
