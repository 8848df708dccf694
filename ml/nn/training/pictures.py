"""The pictures that a training saves for its figures: a map of its net, and the effect of its augmentations."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ml.config import AUGMENTATIONS, Augmentation, TrainConfig
from ml.contract import MAP_NODATA, UNLABELLED, Contract
from ml.data import LabelledScene, TrainingData
from ml.figures.cutouts import MAPPED, Picture, picture_of, save_pictures, telling_scene, telling_window, true_colour
from ml.geo.windows import Window, ceil_to, margin
from ml.nn.checkpoint import load_checkpoint
from ml.nn.masks import class_indices
from ml.nn.normalise import normalise
from ml.nn.prediction.row_stream import StreamNet, for_prediction
from ml.nn.prediction.stripes import read_piece
from ml.nn.training.augment import augment
from ml.nn.unet import class_index
from ml.radiometry.homogenise import open_homogenised

PANEL_PX = 512
SHEET: tuple[Augmentation, ...] = (
    *AUGMENTATIONS[1:],
    "colour_jitter",
    "radiometry",
)  # all but "crop", which chooses positions
AS_IT_IS = "as it is"


def training_pictures(model: Path, data: TrainingData, out: Path) -> None:
    """Write the pictures of the checkpoint `model` to the file `out`.

    "panel" is the most informative window of the test split, or of the val split if there is no test split, with the
    masks "truth" and "mapped". "augment ..." is a training chip after one augmentation, for each of them.
    """
    net, header = load_checkpoint(model)
    pictures = {
        "panel": _panel(
            for_prediction(net, views=header.config.views), header.contract, telling_scene(data.test or data.val)
        )
    }
    sheet = _sheet(header.config, header.contract, telling_scene(data.train))
    pictures |= {f"augment {kind}": picture for kind, picture in sheet.items()}
    save_pictures(out, pictures)


def _panel(net: StreamNet, contract: Contract, scene: LabelledScene) -> Picture:
    window = telling_window(scene, ceil_to(PANEL_PX, 2**net.depth))
    with open_homogenised(scene, contract.homogenise) as source:
        image, valid = source.read(window)
        around = _around(window, net.depth, source.rows, source.cols)
        image_around = net.copies.received(read_piece(net, contract, source, around).image)
        logits = net(image_around)[:, *window.within(around).slices]
    values = np.array([item.value for item in contract.classes], dtype=np.uint8)
    mapped = np.where(valid, values[class_index(logits).cpu().numpy()], MAP_NODATA).astype(np.uint8)
    picture = picture_of(scene, contract, window, true_colour(image, valid, contract.bands))
    return Picture(picture.name, picture.image, {**picture.masks, MAPPED: mapped}, picture.pixel_m)


def _around(core: Window, depth: int, rows: int, cols: int) -> Window:
    """Return the window `core` with the margin that the net needs around it, clipped to the scene."""
    reach = margin(depth)
    row, col = max(0, core.row - reach), max(0, core.col - reach)
    end_row, end_col = min(core.row + core.rows + reach, rows), min(core.col + core.cols + reach, cols)
    return Window(row, col, end_row - row, end_col - col)


def _sheet(config: TrainConfig, contract: Contract, scene: LabelledScene) -> dict[str, Picture]:
    """Make pictures of one chip, unchanged and after each augmentation alone, by the name of the augmentation."""
    with open_homogenised(scene, contract.homogenise) as source:
        window = telling_window(scene, min(config.chip_size, source.rows, source.cols))
        image, valid = source.read(window)
    plain = picture_of(scene, contract, window, true_colour(image, valid, contract.bands))
    indices = class_indices(contract.classes)
    values = np.full(256, UNLABELLED, dtype=np.uint8)
    values[: len(contract.classes)] = [item.value for item in contract.classes]
    pixels, usable = torch.from_numpy(image)[None], torch.from_numpy(valid)[None]
    normal, mask = normalise(pixels, usable, contract.statistics), torch.from_numpy(indices[plain.masks["truth"]])[None]
    low, high = np.percentile(normal[0].numpy()[:, valid], (2, 98), axis=1)
    limits = low, high  # of the unchanged chip: limits of each picture would undo the colour jitter
    sheet = {AS_IT_IS: plain}
    for kind in SHEET:
        moved, labels = _visibly(normal, mask, kind)
        shown = true_colour(moved, np.ones(valid.shape, dtype=np.bool_), contract.bands, limits)
        sheet[kind] = Picture(kind, shown, {"truth": values[labels]}, plain.pixel_m)
    return sheet


def _visibly(image: torch.Tensor, mask: torch.Tensor, kind: Augmentation) -> tuple[np.ndarray, NDArray[np.uint8]]:
    """Augment a chip with the first of 64 seeds that changes it visibly; half of the seeds leave it as it is."""
    for seed in range(64):
        moved, labels = augment(image, mask, [kind], torch.Generator().manual_seed(seed))
        if (moved - image).abs().mean() > 0.02:
            break
    return moved[0].numpy(), labels[0].numpy()
