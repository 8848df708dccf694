"""Measures on unseen ground whether probabilities are right, and whether anything tells where the errors are.

    python benchmarks/trust.py DATA --out OUT [--recipes paper,robust] [--block 64]

DATA and OUT are those of `benchmarks/recipes.py`, whose finished models are used; each has a test region that it has
not seen. For each model: the temperature that suits its val region, the expected calibration error on val and test
before and after; and, over blocks of the test region, how well several signals rank the blocks by their share of wrong
pixels: Spearman's correlation, and the AUC of the quarter with the most errors. The signals are the mean entropy of the
calibrated probabilities, distances of the blocks to those of the training, and mixtures of both whose weights are
fitted on the val region. The distances are Mahalanobis distances, with Ledoit-Wolf covariances, of means and standard
deviations of the normalised bands, and of the bottleneck's features averaged over the block, and for these also that to
the tenth nearest block of the training.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import expit
from scipy.stats import rankdata, spearmanr

from benchmarks.recipes import RECIPES, of_region
from ml.checkpoint_header import CheckpointHeader
from ml.contract import UNLABELLED
from ml.data import LabelledScene
from ml.evaluation.calibration import reliability, temperature_of
from ml.geo.raster import open_raster
from ml.geo.windows import Window
from ml.nn.checkpoint import load_checkpoint
from ml.nn.normalise import normalise
from ml.nn.unet import UNet
from ml.radiometry.homogenise import open_homogenised

NEIGHBOURS = 10
LEAST_LABELLED = 0.5  # of the pixels of a block that counts
SIGNALS = ("entropy", "bands", "features", "neighbours", "entropy + features", "entropy + neighbours")


class Blocks(NamedTuple):
    """Blocks of some scenes, and the labelled pixels of these scenes.

    bands, features: Shape (blocks, values). logits, truth: Of all labelled pixels. block: The block of each of these.
    """

    bands: np.ndarray
    features: np.ndarray
    logits: np.ndarray
    truth: np.ndarray
    block: np.ndarray

    def mean(self, of_pixel: np.ndarray) -> np.ndarray:
        """The mean over the labelled pixels of each block; NaN for blocks without enough of them."""
        count = np.bincount(self.block, minlength=len(self.bands))
        with np.errstate(invalid="ignore"):
            means = np.bincount(self.block, of_pixel, len(self.bands)) / count
        return np.where(count >= LEAST_LABELLED * count.max(), means, np.nan)


def main() -> None:
    """Print the tables of all finished models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipes", default="paper,robust")
    parser.add_argument("--block", type=int, default=64)
    parser.add_argument("--scratch", type=Path, help="folder for masks; by default OUT")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for recipe in given.recipes.split(","):
        for model in sorted((given.out / recipe).glob("region*/model.safetensors")):
            region = int(model.parent.name.removeprefix("region").split("-")[0])
            method = RECIPES[recipe].homogenise
            data = of_region(given.data, (given.scratch or given.out) / f"data-{method}-{region}", region, method)
            net, header = load_checkpoint(model)
            train, val, test = (gathered(net, header, part, given.block) for part in (data.train, data.val, data.test))
            report(f"{recipe} {model.parent.name}", train, val, test)


def report(name: str, train: Blocks, val: Blocks, test: Blocks) -> None:
    """Print what is known of one model."""
    temperature = temperature_of(val.logits, val.truth)
    errors = [
        f"{reliability(part.logits, part.truth, used).ece:.4f}" for part in (val, test) for used in (1.0, temperature)
    ]
    print(f"| {name} | {temperature:.2f} | {errors[0]} -> {errors[1]} | {errors[2]} -> {errors[3]} |")
    of_val, of_test = (signals(train, part, temperature) for part in (val, test))
    for signal in SIGNALS:
        known = [(mixed(signal, of_val, of_val, val), val), (mixed(signal, of_val, of_test, val), test)]
        print(
            f"| {name} | {signal} | " + " | ".join(ranking(values, part) for values, part in known) + " |", flush=True
        )


def ranking(values: np.ndarray, part: Blocks) -> str:
    """How well a signal ranks blocks by their errors: Spearman's correlation, and the AUC of the worst quarter."""
    wrong = part.mean(((part.logits[0] >= 0) != (part.truth == 1)).astype(float))
    known = ~np.isnan(wrong)
    values, wrong = values[known], wrong[known]
    worst = wrong > np.quantile(wrong, 0.75)
    ranks = rankdata(values)
    auc = (ranks[worst].sum() - worst.sum() * (worst.sum() + 1) / 2) / (worst.sum() * (~worst).sum())
    return f"{spearmanr(values, wrong).statistic:.3f}, {auc:.3f} ({known.sum()} blocks)"


def signals(train: Blocks, part: Blocks, temperature: float) -> dict[str, np.ndarray]:
    """The plain signals of each block."""
    p = expit(np.abs(part.logits[0].astype(np.float64)) / temperature).clip(max=1 - 1e-12)
    entropy = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    return {
        "entropy": part.mean(entropy),
        "bands": mahalanobis(train.bands, part.bands),
        "features": mahalanobis(train.features, part.features),
        "neighbours": nearest(train.features, part.features),
    }


def mixed(signal: str, fitted: dict[str, np.ndarray], found: dict[str, np.ndarray], val: Blocks) -> np.ndarray:
    """A signal, or a mixture of two: least squares of the share of wrong pixels on their logarithms, on val."""
    names = signal.split(" + ")
    if len(names) == 1:
        return found[signal]
    wrong = val.mean(((val.logits[0] >= 0) != (val.truth == 1)).astype(float))
    known = ~np.isnan(wrong)
    design = np.stack([np.ones(known.sum()), *(np.log(fitted[name][known] + 1e-6) for name in names)], axis=1)
    weights = np.linalg.lstsq(design, np.log(wrong[known] + 0.01), rcond=None)[0]
    mixture: np.ndarray = sum(
        weight * np.log(found[name] + 1e-6) for weight, name in zip(weights[1:], names, strict=True)
    )
    return mixture


def mahalanobis(reference: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The distance of each row of `values` to those of `reference`."""
    mean, centred = reference.mean(axis=0), reference - reference.mean(axis=0)
    n, width = centred.shape
    sample = centred.T @ centred / n
    # Ledoit and Wolf 2004: towards a multiple of the identity
    target = np.trace(sample) / width * np.eye(width)
    spread = ((sample - target) ** 2).sum()
    noise = ((centred**2).T @ (centred**2) / n - sample**2).sum() / n
    share = min(1.0, noise / spread)
    inverse = np.linalg.inv((1 - share) * sample + share * target)
    away = values - mean
    distances: np.ndarray = np.sqrt(np.einsum("ij,jk,ik->i", away, inverse, away))
    return distances


def nearest(reference: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The distance of each row of `values` to the tenth nearest row of `reference`, in units of its deviations."""
    scale = reference.std(axis=0) + 1e-6
    far = np.linalg.norm(values[:, None] / scale - reference[None] / scale, axis=2)
    found: np.ndarray = np.partition(far, NEIGHBOURS, axis=1)[:, NEIGHBOURS]
    return found


@torch.inference_mode()
def gathered(net: UNet, header: CheckpointHeader, scenes: Sequence[LabelledScene], block_px: int) -> Blocks:
    """The blocks of some scenes, whose sides are multiples of `block_px`."""
    parts = [*(_of_scene(net, header, scene, block_px) for scene in scenes)]
    bands, features = (np.concatenate([part[index] for part in parts]) for index in (0, 1))
    logits, truth = (np.concatenate([part[index] for part in parts], axis=-1) for index in (2, 3))
    first = np.cumsum([0, *(len(part[0]) for part in parts)])
    block = np.concatenate([part[4] + start for part, start in zip(parts, first, strict=False)])
    return Blocks(bands, features, logits, truth, block)


def _of_scene(net: UNet, header: CheckpointHeader, scene: LabelledScene, block_px: int) -> tuple[np.ndarray, ...]:
    with open_homogenised(scene, header.contract.homogenise) as source, open_raster(scene.mask) as mask:
        image, valid = source.read(Window(0, 0, source.rows, source.cols))
        truth = np.where(valid, mask.read(1), UNLABELLED)
    pixels = normalise(torch.from_numpy(image)[None], torch.from_numpy(valid)[None], header.contract.statistics)
    levels = [net.stem(pixels)]
    for down in net.down:
        levels.append(down(net.pool(levels[-1])))
    bottom = levels.pop()
    features = bottom
    for up in net.up:
        features = up(features, levels.pop())
    logits = net.head(features)[0].numpy()
    tiles = [*_tiles(pixels[0].numpy(), block_px)]
    bands = np.array([[*tile.mean(axis=(1, 2)), *tile.std(axis=(1, 2))] for tile in tiles])
    pooled = np.array([tile.mean(axis=(1, 2)) for tile in _tiles(bottom[0].numpy(), block_px >> net.depth)])
    rows, cols = truth.shape
    block = np.arange(rows)[:, None] // block_px * (cols // block_px) + np.arange(cols) // block_px
    labelled = truth != UNLABELLED
    return bands, pooled, logits[:, labelled], truth[labelled].astype(np.uint8), block[labelled]


def _tiles(image: np.ndarray, side: int) -> Iterator[np.ndarray]:
    for row in range(0, image.shape[1], side):
        yield from (image[:, row : row + side, col : col + side] for col in range(0, image.shape[2], side))


if __name__ == "__main__":
    main()
