"""Makes scenes, class maps, and checkpoints with fixed random weights for benchmarks, in a separate process."""

from pathlib import Path

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.transform import from_origin
from rasterio.windows import Window
from torch import Tensor
from torch.nn import functional

from ml.checkpoint_header import CheckpointHeader
from ml.config import NetConfig, TrainConfig
from ml.contract import BandStatistics, Contract
from ml.nn.checkpoint import save_checkpoint
from ml.nn.unet import UNet, make_net

BANDS = ("blue", "green", "red", "nir")
GSD_M, NODATA, BLOCK_PX = 0.8, 0, 512
_REPEATED_PX = 1024
_OCTAVES_PX = (4, 16, 64, 256)  # sizes of the blobs
_MEAN, _CONTRAST, _GRAIN = (550, 700, 650, 1800), 90, 12
_STEP = 32

Image = NDArray[np.uint16]


def make_scene(path: str, size: int) -> None:
    """Write a scene of smooth noise, uint16 (4, size, size). In memory it is float32."""
    _write(Path(path), _noise(size, _GRAIN), size)


def make_repeated_scene(path: str, size: int) -> None:
    """Write a scene of any size that repeats one square, without grain and in coarse steps: it compresses well."""
    tile = _noise(min(size, _REPEATED_PX), grain=0)
    _write(Path(path), tile - tile % _STEP + 1, size)


def make_class_map(path: str, size: int) -> None:
    """Write a map of two classes, uint8 (1, size, size), with patches of all sizes."""
    values = (_noise(size, _GRAIN)[:1] > _MEAN[0]).astype(np.uint8)
    grid = {"crs": "EPSG:32649", "transform": from_origin(500_000, 2_500_000, GSD_M, GSD_M), "nodata": 255}
    shape = {"count": 1, "dtype": "uint8", "width": size, "height": size}
    with rasterio.open(path, "w", driver="GTiff", tiled=True, compress="deflate", **shape, **grid) as file:
        file.write(values)


def make_model(scene: str, path: str, width: int, depth: int) -> None:
    """Write a checkpoint whose net maps about half of `scene` as each class.

    The weights are random but the same each time. BatchNorm statistics are of chips of the scene. The head is scaled so
    that the logits have the median 0 and the standard deviation 2.
    """
    torch.manual_seed(0)
    image, contract = _corner(scene)
    config = TrainConfig(net=NetConfig(depth=depth, width=width))
    net = make_net(contract, config.net)
    with torch.no_grad():
        for _ in range(10):
            net(_chips(image, 4, 128))
        _spread_logits(net.eval(), _chips(image, 4, 256))
    save_checkpoint(Path(path), net.state_dict(), CheckpointHeader(contract=contract, config=config, best_epoch=1))


def _write(path: Path, tile: Image, size: int) -> None:
    grid = {"crs": "EPSG:32649", "transform": from_origin(500_000, 2_500_000, GSD_M, GSD_M), "nodata": NODATA}
    tiled = {"tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "bigtiff": "IF_SAFER"}
    packed = {"compress": "deflate", "num_threads": "all_cpus"}
    shape = {"count": len(BANDS), "dtype": "uint16", "width": size, "height": size}
    side = tile.shape[-1]
    with rasterio.open(path, "w", driver="GTiff", **shape, **grid, **tiled, **packed) as file:
        file.descriptions = BANDS
        for row in range(0, size, side):
            for col in range(0, size, side):
                rows, cols = min(side, size - row), min(side, size - col)
                file.write(tile[:, :rows, :cols], window=Window(col, row, cols, rows))


def _noise(size: int, grain: float) -> Image:
    """Blobs of several sizes, similar in all bands, and fine grain. All values are at least 1, so none is nodata."""
    random = torch.Generator().manual_seed(0)
    common = _blobs(size, random)
    bands = []
    for mean in _MEAN:
        band = common + 0.5 * _blobs(size, random) + grain / _CONTRAST * torch.randn(size, size, generator=random)
        bands.append((mean + _CONTRAST * band).clamp(1, 10_000).to(torch.int16).numpy().view(np.uint16))
    return np.stack(bands)


def _blobs(size: int, random: torch.Generator) -> Tensor:
    total = torch.zeros(size, size)
    for blob in _OCTAVES_PX:
        side = max(2, size // blob)
        coarse = torch.randn(1, 1, side, side, generator=random)
        total += functional.interpolate(coarse, (size, size), mode="bilinear", align_corners=False)[0, 0]
    return total


def _corner(scene: str) -> tuple[Tensor, Contract]:
    """The first 1024 x 1024 px of a scene, normalised, and the contract that follows from them."""
    with rasterio.open(scene) as file:
        side = min(file.width, file.height, 1024)
        image = torch.from_numpy(file.read(window=Window(0, 0, side, side)).astype(np.float32))
    mean, std = image.mean(dim=(1, 2)), image.std(dim=(1, 2))
    statistics = tuple(
        BandStatistics(mean=float(m), std=float(s), min=float(band.min()), max=float(band.max()))
        for m, s, band in zip(mean, std, image, strict=True)
    )
    contract = Contract(bands=BANDS, dtype="uint16", gsd=GSD_M, nodata=NODATA, statistics=statistics)
    return (image - mean[:, None, None]) / std[:, None, None], contract


def _chips(image: Tensor, count: int, side: int) -> Tensor:
    corners = torch.randint(0, image.shape[-1] - side + 1, (count, 2)).tolist()
    return torch.stack([image[:, row : row + side, col : col + side] for row, col in corners])


def _spread_logits(net: UNet, chips: Tensor) -> None:
    logits = net(chips)
    scale = 2 / logits.std()
    net.head.weight *= scale
    assert net.head.bias is not None
    net.head.bias.copy_((net.head.bias - logits.median()) * scale)
