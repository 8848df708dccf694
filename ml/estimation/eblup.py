"""Means of small areas, such as counties with few points, by the unit-level model of Battese, Harter and Fuller."""

import math
from dataclasses import dataclass

import numpy as np

from ml.estimation.sample import Floats, Integers
from ml.estimation.student import NORMAL
from ml.estimation.values import Estimate

_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class SmallAreas:
    """The means of small areas, and the model that they come from.

    means: Of each area. between, within: Variances of the areas' effects and of the units within areas. coefficients:
    The intercept, then that of each auxiliary variable.
    """

    means: tuple[Estimate, ...]
    between: float
    within: float
    coefficients: Floats


def eblup(values: Floats, auxiliary: Floats, area: Integers, known_means: Floats) -> SmallAreas:
    """The empirical best linear unbiased predictor of each area's mean.

    Battese, Harter and Fuller 1988, doi 10.1080/01621459.1988.10478561: y = x b + v[area] + e, where v and e are
    independent with the variances `between` and `within`. The mean of an area is m b + g * (mean of y - mean of x, b),
    where m are its `known_means`, and g = between / (between + within / n). An area without units has the first part
    alone. The variances are estimated by restricted maximum likelihood, and the mean squared errors are those of Prasad
    and Rao 1990 (doi 10.1080/01621459.1990.10475320): g1 + g2 + 2 g3. The intervals are +- 1.96 roots of them, and rest
    on the model, which says that all areas follow one line but for a random effect.

    values: The quantity at the sampled units, shape (units,). auxiliary: What is known of them and of all ground, shape
    (units, k), without a constant. area: Index of each unit's area. known_means: Means of the auxiliary over all ground
    of each area, shape (areas, k).

    Raises:
        ValueError: There are no more units than coefficients, or the auxiliary variables determine each other.
    """
    x, means = (np.column_stack([np.ones(len(known)), known]) for known in (auxiliary, known_means))
    if len(values) <= x.shape[1] or np.linalg.matrix_rank(x) < x.shape[1]:
        raise ValueError("the model needs more units than coefficients, and auxiliary variables that vary freely")
    model = _Model(values, x, area, np.bincount(area, minlength=len(means)))
    ratio = model.best_ratio()
    coefficients, covariance, within = model.fitted(ratio)
    between = ratio * within
    shrinkage = ratio * model.units / (1 + ratio * model.units)
    mean_y, mean_x = model.means(values[:, None])[:, 0], model.means(x)
    predicted = means @ coefficients + shrinkage * (mean_y - mean_x @ coefficients)
    off = means - shrinkage[:, None] * mean_x
    g1 = (1 - shrinkage) * between
    g2 = np.einsum("ij,jk,ik->i", off, covariance, off)
    se = np.sqrt(g1 + g2 + 2 * _g3(model.units, between, within))
    found = (
        Estimate(float(mean), float(error), (float(mean - NORMAL * error), float(mean + NORMAL * error)))
        for mean, error in zip(predicted, se, strict=True)
    )
    return SmallAreas(tuple(found), between, within, coefficients)


@dataclass(frozen=True)
class _Model:
    """The model for given data. ratio: Of the variance between the areas to that within them.

    y: Shape (units,). x: Shape (units, coefficients). area: Index of each unit's area. units: Number in each area.
    """

    y: Floats
    x: Floats
    area: Integers
    units: Integers

    def means(self, values: Floats) -> Floats:
        """The means by area, shape (areas, k), of values of shape (units, k); 0 without units."""
        sums = np.zeros((len(self.units), values.shape[1]))
        np.add.at(sums, self.area, values)
        means: Floats = sums / np.maximum(self.units, 1)[:, None]
        return means

    def fitted(self, ratio: float) -> tuple[Floats, Floats, float]:
        """The coefficients, their covariance, and the variance within areas, by generalised least squares."""
        x, y = self._independent(ratio)
        inverse = np.linalg.inv(x.T @ x)
        coefficients = inverse @ x.T @ y
        within = float(((y - x @ coefficients) ** 2).sum()) / (len(y) - x.shape[1])
        return coefficients, within * inverse, within

    def best_ratio(self) -> float:
        """The ratio of restricted maximum likelihood, by golden section over ratio / (1 + ratio)."""
        low, high = 0.0, 1 - 1e-9
        for _ in range(100):
            one, other = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
            if self._log_likelihood(one / (1 - one)) > self._log_likelihood(other / (1 - other)):
                high = other
            else:
                low = one
        return low / (1 - low) if self._log_likelihood(low / (1 - low)) > self._log_likelihood(0.0) else 0.0

    def _log_likelihood(self, ratio: float) -> float:
        x, y = self._independent(ratio)
        _, log_determinant = np.linalg.slogdet(x.T @ x)
        freedom = len(y) - x.shape[1]
        _, _, within = self.fitted(ratio)
        return -0.5 * float(
            np.log1p(ratio * self.units).sum() + log_determinant + freedom * math.log(max(within, 1e-300))
        )

    def _independent(self, ratio: float) -> tuple[Floats, Floats]:
        """x and y without the correlation of units of one area (Fuller and Battese 1973)."""
        part = (1 - 1 / np.sqrt(1 + ratio * self.units))[self.area]
        both = np.column_stack([self.x, self.y])
        both = both - part[:, None] * self.means(both)[self.area]
        return both[:, :-1], both[:, -1]


def _g3(units: Integers, between: float, within: float) -> Floats:
    """What the estimation of the variances adds to the mean squared error, by their asymptotic covariance."""
    total = within + units * between
    information = 0.5 * np.array(
        [
            [(units**2 / total**2).sum(), (units / total**2).sum()],
            [(units / total**2).sum(), (np.maximum(units - 1, 0) / within**2 + (units > 0) / total**2).sum()],
        ]
    )
    (of_between, shared), (_, of_within) = np.linalg.inv(information)
    spread = within**2 * of_between + between**2 * of_within - 2 * within * between * shared
    there = np.maximum(units, 1)
    added: Floats = np.where(units > 0, spread / there**2 / (between + within / there) ** 3, 0.0)
    return added
