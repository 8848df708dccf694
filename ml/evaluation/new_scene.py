"""How far the errors of a map on a new scene may be from those on the test scenes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_DRAWS = 20_000


@dataclass(frozen=True)
class BlockErrors:
    """The errors of the blocks of one scene.

    errors: By how many pixels the class is more in a block than was expected of its map, shape (blocks,). pixels:
    Number of labelled pixels in each block, of the same shape.
    """

    errors: Floats
    pixels: Floats

    @property
    def share(self) -> float:
        """The error as a share of the scene's labelled pixels."""
        return float(self.errors.sum() / self.pixels.sum())

    @property
    def effective_blocks(self) -> float:
        """The number of blocks of equal size whose mean would have the same variance (Kish 1965)."""
        return float(self.pixels.sum() ** 2 / (self.pixels**2).sum())

    @property
    def spread(self) -> float:
        """The sum of squares of the blocks' errors about the scene's, as shares of a block of mean size."""
        return float((((self.errors - self.share * self.pixels) / self.pixels.mean()) ** 2).sum())


def half_width(scenes: Sequence[BlockErrors], mapped_blocks: float, seed: int = 0) -> float:
    """Half of the 95 % prediction interval for the error on a new scene, as a share of its area.

    The model: the error of a block, as a share of its pixels, is that of its scene, with a variance between scenes, and
    its own, with a variance between blocks. The error on a new scene has both, the second divided by its number of
    blocks. So have those of the test scenes, by which the map was adjusted. The variances come from the analysis of
    variance of the test blocks (Searle, Casella and McCulloch 1992, chapter 3). Few scenes and blocks leave both
    uncertain, so they are drawn from their chi-squared distributions, which gives a generalised prediction interval
    (Weerahandi 1993, doi 10.1080/01621459.1993.10476355). With a single variance it is that of Student's t.

    The error rates of the map were fitted to the same blocks, which makes their errors smaller than those of new ones:
    a degree of freedom is lost to that, by which the variance between blocks is raised.

    With a single scene nothing tells the variance between scenes: it counts as 0. With scenes of a single block, all
    their variance counts as one between scenes.

    scenes: Test scenes with one block each at least, and with two blocks in all. mapped_blocks: Size of the new scene
    in blocks. seed: Seed of the draws.
    """
    rng = np.random.default_rng(seed)
    pixels = np.array([scene.pixels.sum() for scene in scenes])
    weights = pixels / pixels.sum()
    blocks = np.array([scene.effective_blocks for scene in scenes])
    shares = np.array([scene.share for scene in scenes])
    degrees = sum(len(scene.pixels) - 1 for scene in scenes)
    fitted = degrees / (degrees - 1) if degrees > 1 else 1.0
    within = _drawn(rng, fitted * sum(scene.spread for scene in scenes), degrees)
    between = np.zeros(_DRAWS)
    if len(scenes) > 1:
        size = (blocks.sum() - (blocks**2).sum() / blocks.sum()) / (len(scenes) - 1)
        mean_square = _drawn(rng, float((blocks * (shares - weights @ shares) ** 2).sum()), len(scenes) - 1)
        between = np.maximum(0.0, (mean_square - within) / size)
    variance = between * (1 + (weights**2).sum()) + within * (1 / mapped_blocks + (weights**2 / blocks).sum())
    return float(np.quantile(np.abs(rng.standard_normal(_DRAWS)) * np.sqrt(variance), 0.95))


def _drawn(rng: np.random.Generator, squares: float, degrees: int) -> Floats:
    """Draws of a variance, given a sum of squares and its degrees of freedom; 0 if there are none."""
    return squares / rng.chisquare(degrees, _DRAWS) if degrees else np.zeros(_DRAWS)
