"""How often the interval of an adjusted area covers the truth of a scene that is like the test scenes.

    python -m benchmarks.new_scenes [--rounds 1000]

Scenes are made of blocks of 4,096 pixels, whose share of the class and whose error rates vary from block to block and
from scene to scene.
"""

import argparse

import numpy as np
from numpy.typing import NDArray

from ml.evaluation.area import adjusted_area
from ml.evaluation.metrics import as_confusion

BLOCK = 4096
ONE_SCENE = ((4, 9), (16, 4), (64, 4), (64, 64))  # blocks of the test scene and of the mapped one


def scene(rng: np.random.Generator, blocks: int, differ: float = 0.0) -> NDArray[np.int64]:
    """The confusions of the blocks of a scene, shape (blocks, true class, map class).

    The map omits about 20 % of class 1 and adds 5 % of class 0. differ: Standard deviation between scenes of the log
    odds of an error.
    """
    shift = differ * rng.standard_normal(2)
    omitted, added = _shifted(rng.beta(4, 16, blocks), shift[0]), _shifted(rng.beta(1, 19, blocks), shift[1])
    cane = rng.binomial(BLOCK, rng.beta(1, 2, blocks))
    fn, fp = rng.binomial(cane, omitted), rng.binomial(BLOCK - cane, added)
    return np.stack([np.stack([BLOCK - cane - fp, fp], axis=1), np.stack([fn, cane - fn], axis=1)], axis=1)


def _shifted(rates: NDArray[np.float64], shift: float) -> NDArray[np.float64]:
    odds: NDArray[np.float64] = np.exp(shift) * rates / (1 - rates)
    return odds / (1 + odds)


def coverage(scenes: int, blocks: int, mapped_blocks: int, *, differ: float = 0.0, rounds: int = 200) -> float:
    """The share of rounds in which the interval covers the truth of another scene of the same kind."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(rounds):
        tested = [scene(rng, blocks, differ) for _ in range(scenes)]
        new = scene(rng, mapped_blocks, differ).sum(axis=0)
        estimate = adjusted_area(
            {0: float(new[:, 0].sum()), 1: float(new[:, 1].sum())},
            as_confusion(np.sum(np.concatenate(tested), axis=0)),
            [[as_confusion(block) for block in of_scene] for of_scene in tested],
            mapped_blocks=mapped_blocks,
        )
        assert estimate is not None
        covered += estimate[1][0] <= new[1].sum() <= estimate[1][1]
    return covered / rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000)
    rounds = parser.parse_args().rounds
    print("| test scenes | blocks of each | blocks of the new scene | scenes differ | covered |")
    print("|---|---|---|---|---|")
    cases = [(1, tested, mapped, 0.0) for tested, mapped in ONE_SCENE]
    cases += [
        (scenes, 8, mapped, differ) for scenes in (2, 3, 5, 10) for mapped in (9, 30) for differ in (0.0, 0.5, 1.0)
    ]
    for scenes, tested, mapped, differ in cases:
        share = coverage(scenes, tested, mapped, differ=differ, rounds=rounds)
        print(f"| {scenes} | {tested} | {mapped} | {differ:g} | {100 * share:.1f} % |")


if __name__ == "__main__":
    main()
