"""From logits to classes and probabilities.

logits: float32 (outputs, ...). One output is the logit of class 1 of two; K > 2 outputs are those of K classes.
"""

import math

import numpy as np
from numpy.typing import NDArray

from ml.nn.tiling import Logits

PROBABILITY_STEPS = 250
# the logits at which the probability reaches 1/250, ..., 249/250; exactly 0 at 125/250
_EDGES = np.array([math.log(k / (PROBABILITY_STEPS - k)) for k in range(1, PROBABILITY_STEPS)])


def class_index(logits: Logits, threshold: float = 0.5) -> NDArray[np.uint8]:
    """Index of the mapped class, uint8 (...): class 1 of two from `threshold` on, else the likeliest."""
    if len(logits) == 1:
        return np.asarray(logits[0] >= math.log(threshold / (1 - threshold)), dtype=np.uint8)
    return np.asarray(logits.argmax(axis=0), dtype=np.uint8)


def probability_byte(logits: Logits) -> NDArray[np.uint8]:
    """min(249, floor(250 p)), uint8 (...): p is about (byte + 0.5) / 250.

    p: the probability of class 1 of two, 1 / (1 + exp(-logit)); else that of the likeliest class, by softmax.
    """
    if (
        len(logits) == 1
    ):  # found by comparing logits, which rounds nothing: 125 or more if and only if the logit is >= 0
        return np.asarray(np.searchsorted(_EDGES, logits[0], side="right"), dtype=np.uint8)
    likeliest = 1 / np.exp(logits - logits.max(axis=0)).sum(axis=0)
    return np.asarray(np.minimum(np.floor(PROBABILITY_STEPS * likeliest), PROBABILITY_STEPS - 1), dtype=np.uint8)
