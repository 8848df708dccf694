"""Whether probabilities are as often right as they say, and the temperature that makes them so.

A net that was trained to the end is sure of too much: of the pixels with a probability of 0.95 fewer than 95 % are
right. Temperature scaling (Guo et al. 2017, arXiv:1706.04599) divides all logits by one number, chosen on the
validation split. It changes no class, since it keeps the order of the logits of each pixel.
"""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ml.evaluation.metrics import Floats
from ml.frozen import Frozen

BINS = 15  # of equal width, as in Guo et al. 2017
LOWEST, HIGHEST = 0.05, 20.0  # temperatures: a split of which all is right, or all wrong, would have 0 or infinity
_HALVINGS = 60  # of the interval of inverse temperatures: enough for the precision of float64
_LEAST_CHANGE = 1e-9  # of the mean log-likelihood, by which a temperature must be better than 1

Share = Annotated[float, Field(ge=0, le=1)]
PerBin = Annotated[tuple[Share | None, ...], Field(min_length=BINS, max_length=BINS)]


class Reliability(Frozen):
    """How often pixels are right, by the confidence in them: the probability of the class that they are mapped as.

    pixels: Number of pixels in each of 15 bins of confidence, from 0 to 1, of equal width. confidence, accuracy: Mean
    confidence, and share of the pixels that are right, in each bin; None without pixels. ece: Expected calibration
    error (Naeini et al. 2015; Guo et al. 2017, arXiv:1706.04599): mean of |accuracy - confidence| over the bins,
    weighted by their pixels, from 0 to 1.
    """

    pixels: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=BINS, max_length=BINS)]
    confidence: PerBin
    accuracy: PerBin
    ece: Share


class Calibrated(Frozen):
    """The reliability of the probabilities on one split, before and after they are calibrated."""

    before: Reliability
    after: Reliability


class Calibration(Frozen):
    """The calibration of a model.

    temperature: Number by which prediction divides the logits before they become probabilities, chosen on the
    validation split; above 1 if the net was too sure. val, test: Reliability on each split; test is None without such a
    split. On val it is optimistic, since the temperature was chosen there.
    """

    temperature: float = Field(ge=LOWEST, le=HIGHEST)
    val: Calibrated
    test: Calibrated | None = None


def temperature_of(logits: NDArray[np.float32], truth: NDArray[np.uint8]) -> float:
    """The temperature with the largest likelihood of the labels, from 0.05 to 20; 1 if no other one is better.

    It is found by halving an interval, because the log-likelihood is concave in the inverse temperature.

    logits: Float32 (outputs, pixels), as in `ml.nn.unet.class_index`. truth: Class indices, uint8 (pixels).
    """
    if not truth.size:
        return 1.0
    scores = _scores(logits)
    low, high = 1 / HIGHEST, 1 / LOWEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _slope(scores, truth, middle) > 0 else (low, middle)
    found = (low + high) / 2
    better = _log_likelihood(scores, truth, found) - _log_likelihood(scores, truth, 1.0)
    return float(np.clip(1 / found, LOWEST, HIGHEST)) if better > _LEAST_CHANGE else 1.0


def reliability(logits: NDArray[np.float32], truth: NDArray[np.uint8], temperature: float = 1.0) -> Reliability:
    """The reliability of probabilities on labelled pixels.

    logits, truth: As for `temperature_of`. temperature: Number by which the logits are divided.
    """
    scores = _scores(logits)
    right = scores.argmax(axis=0) == truth
    if len(logits) == 1:  # at a logit of 0 both have 0.5, and class 1 is mapped
        right = (logits[0] >= 0) == truth.astype(bool)
    confidence = np.exp(scores.max(axis=0) / temperature - _log_sum(scores / temperature))
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    pixels, sums, rights = (np.bincount(bins, weights, BINS) for weights in (None, confidence, right))
    with np.errstate(invalid="ignore"):
        means, shares = np.minimum(sums / pixels, 1), rights / pixels
    gaps = np.abs(rights - sums).sum() / max(truth.size, 1)
    return Reliability(
        pixels=tuple(int(count) for count in pixels),
        confidence=_defined(means),
        accuracy=_defined(shares),
        ece=float(min(gaps, 1.0)),
    )


def _defined(values: Floats) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(value) else float(value) for value in values)


def _scores(logits: NDArray[np.float32]) -> Floats:
    """A logit for each class, float64 (classes, pixels): of two classes 0 for the first."""
    wide = logits.astype(np.float64)
    return np.concatenate([np.zeros_like(wide), wide]) if len(wide) == 1 else wide


def _log_sum(scores: Floats) -> Floats:
    largest = scores.max(axis=0)
    total: Floats = largest + np.log(np.exp(scores - largest).sum(axis=0))
    return total


def _log_likelihood(scores: Floats, truth: NDArray[np.uint8], inverse: float) -> float:
    """The mean log-probability of the labels. inverse: 1 / temperature."""
    return float(np.mean(inverse * _of_label(scores, truth) - _log_sum(inverse * scores)))


def _slope(scores: Floats, truth: NDArray[np.uint8], inverse: float) -> float:
    """The derivative of `_log_likelihood` by the inverse temperature: score of the label - mean score."""
    weights = np.exp(inverse * scores - _log_sum(inverse * scores))
    return float(np.mean(_of_label(scores, truth) - (weights * scores).sum(axis=0)))


def _of_label(scores: Floats, truth: NDArray[np.uint8]) -> Floats:
    found: Floats = np.take_along_axis(scores, truth[None].astype(np.int64), axis=0)[0]
    return found
