"""How well labellers agree with each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ml.evaluation.metrics import metrics_of


@dataclass(frozen=True)
class Agreement:
    """The agreement of two labellers.

    one, other: Their names. points: Number of points that both labelled. agreed: Share of these with the same class.
    kappa: Cohen's kappa (1960), the agreement beyond that expected by chance; None if both gave one class alone.
    """

    one: str
    other: str
    points: int
    agreed: float
    kappa: float | None


def agreements(answers: Mapping[str, Mapping[str, int]], classes: int) -> tuple[Agreement, ...]:
    """The agreement of each pair of labellers with a common point.

    answers: By labeller, then by point: the index of the class. classes: Number of classes.
    """
    found = []
    for (one, of_one), (other, of_other) in combinations(answers.items(), 2):
        common = of_one.keys() & of_other.keys()
        if not common:
            continue
        counts = np.zeros((classes, classes), dtype=np.int64)
        np.add.at(counts, ([of_one[point] for point in common], [of_other[point] for point in common]), 1)
        kappa = float(metrics_of(counts)["kappa"])
        agreed = float(np.trace(counts)) / len(common)
        found.append(Agreement(one, other, len(common), agreed, None if np.isnan(kappa) else kappa))
    return tuple(found)
