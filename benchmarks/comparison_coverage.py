"""Measures how often the 95 % intervals of `ml.evaluation.comparison.compare` hold the true difference.

    python benchmarks/comparison_coverage.py [--worlds 300]

Trainings of two variants are simulated: the share of pixels that a training omits and commits depends on the scene
(hard for all), on the scene and the variant, on the block, on the training (its seed), and on the training and the
scene. The true difference is that of the expectations: the mean over 20,000 other scenes and 200 other seeds. An
interval should hold it in 95 % of the worlds; 300 worlds tell the share to 2.5 points (two standard errors).
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ml.evaluation.comparison import COMPARED, ScoredTraining, compare
from ml.evaluation.metrics import BlockCounts, Metrics, as_confusion, metrics_of

PIXELS = 65536  # of a block
EFFECTIVE = 400  # independent pixels of a block, since neighbours err together


@dataclass(frozen=True)
class World:
    """Standard deviations of the logit of the error rates, and how many of everything there are."""

    name: str
    scenes: int
    blocks: int
    seeds: int
    scene: float = 0.8
    variant_in_scene: float = 0.3
    block: float = 0.5
    training: float = 0.1
    training_in_scene: float = 0.2
    gain: float = -0.1  # by which the second variant differs


WORLDS = (
    World("33 scenes, 3 seeds", 33, 4, 3),
    World("33 scenes, 5 seeds", 33, 4, 5),
    World("33 scenes, 3 seeds that differ much", 33, 4, 3, training=0.3),
    World("33 scenes, 3 seeds that hardly differ", 33, 4, 3, training=0.02, training_in_scene=0.05),
    World("12 scenes, 3 seeds", 12, 4, 3),
    World("6 scenes, 3 seeds", 6, 4, 3),
    World("3 scenes of 40 blocks, 3 seeds", 3, 40, 3),
)


def main() -> None:
    """Print the coverage of each metric in each world."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=300)
    parser.add_argument("--resamples", type=int, default=300)
    parser.add_argument("--only", help="the name of a world")
    given = parser.parse_args()
    print("| world | " + " | ".join(f"{metric}: held, mean width" for metric in COMPARED) + " |")
    print("|---" * (1 + len(COMPARED)) + "|")
    for world in (world for world in WORLDS if given.only in (None, world.name)):
        print(f"| {world.name} | " + " | ".join(coverage(world, given.worlds, given.resamples)) + " |", flush=True)


def coverage(world: World, worlds: int, resamples: int) -> Iterator[str]:
    """For each metric how often the interval holds the truth, and its mean width in points."""
    truth = true_difference(world)
    held, width = dict.fromkeys(COMPARED, 0), dict.fromkeys(COMPARED, 0.0)
    for number in range(worlds):
        rng = np.random.default_rng((1, number))
        found = compare(list(trainings(world, rng)), resamples=resamples)
        for each in found.differences:
            low, high = each.ci95 or (np.nan, np.nan)
            held[each.metric] += low <= truth[each.metric] <= high
            width[each.metric] += 100 * (high - low) / worlds
    yield from (f"{100 * held[metric] / worlds:.1f} %, {width[metric]:.2f}" for metric in COMPARED)


def trainings(world: World, rng: np.random.Generator) -> Iterator[ScoredTraining]:
    """The scored trainings of both variants in one world."""
    counts = drawn(world, rng, world.scenes, world.seeds)
    for variant, of_variant in enumerate(counts):
        for seed, of_seed in enumerate(of_variant):
            blocks = {
                f"scene{scene}": tuple(
                    BlockCounts(row=0, col=256 * place, confusion=as_confusion(block))
                    for place, block in enumerate(of_scene)
                )
                for scene, of_scene in enumerate(of_seed)
            }
            metrics = Metrics.from_confusion(of_seed.sum(axis=(0, 1)))
            yield ScoredTraining(variant="ab"[variant], seed=seed, metrics=metrics, blocks=blocks)


def true_difference(world: World) -> dict[str, float]:
    """The difference of the expected metrics of the second variant from the first."""
    rng = np.random.default_rng(0)  # for 200 trainings of each variant, each scored on 100 scenes
    totals = [drawn(world, rng, 100, 1)[:, 0].sum(axis=(1, 2)) for _ in range(200)]
    metrics = metrics_of(np.sum(totals, axis=0))
    return {name: float(metrics[name][1] - metrics[name][0]) for name in COMPARED}


def drawn(world: World, rng: np.random.Generator, scenes: int, seeds: int) -> np.ndarray:
    """Confusions of simulated trainings, int64 (variants, seeds, scenes, blocks, 2, 2)."""
    shape = (2, seeds, scenes, world.blocks)
    positive = rng.beta(2, 2, (scenes, world.blocks))
    rates = []
    for middle in (-2.2, -2.5):  # logits of omission and commission
        logit = middle + np.zeros(shape)
        logit[1] += world.gain
        logit += rng.normal(0, world.scene, (1, 1, scenes, 1))
        logit += rng.normal(0, world.variant_in_scene, (2, 1, scenes, 1))
        logit += rng.normal(0, world.block, (1, 1, scenes, world.blocks))
        logit += rng.normal(0, world.training, (2, seeds, 1, 1))
        logit += rng.normal(0, world.training_in_scene, (2, seeds, scenes, 1))
        rates.append(rng.binomial(EFFECTIVE, 1 / (1 + np.exp(-logit))) / EFFECTIVE)
    of_class = np.rint(PIXELS * np.stack([1 - positive, positive])).astype(np.int64)
    missed, added = (np.rint(rate * of_class[1 - index]).astype(np.int64) for index, rate in enumerate(rates))
    rows = [np.stack([of_class[0] - added, added], -1), np.stack([missed, of_class[1] - missed], -1)]
    return np.stack(rows, -2)


if __name__ == "__main__":
    main()
