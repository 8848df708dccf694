"""From logits to classes and probabilities, on the device where the logits are.

logits: float32 (outputs, ...). One output is the logit of class 1 of two; K > 2 outputs are those of K classes.
"""

import math

import torch
from torch import Tensor

PROBABILITY_STEPS = 250
# the logits at which the probability reaches 0, 1/250, ..., 1; exactly 0 at 125/250
_BETWEEN = [math.log(k / (PROBABILITY_STEPS - k)) for k in range(1, PROBABILITY_STEPS)]
_EDGES = torch.tensor([-math.inf, *_BETWEEN, math.inf])


def class_index(logits: Tensor, threshold: float = 0.5) -> Tensor:
    """Index of the mapped class, uint8 (...): class 1 of two from `threshold` on, else the likeliest."""
    if len(logits) == 1:
        return (logits[0] >= math.log(threshold / (1 - threshold))).to(torch.uint8)
    return logits.argmax(dim=0).to(torch.uint8)


def probability_byte(logits: Tensor) -> Tensor:
    """min(249, floor(250 p)), uint8 (...): p is about (byte + 0.5) / 250.

    p: the probability of class 1 of two, 1 / (1 + exp(-logit)); else that of the likeliest class, by softmax.
    """
    if len(logits) == 1:
        return _step(logits[0])
    likeliest = 1 / (logits - logits.amax(dim=0)).exp().sum(dim=0)
    return (PROBABILITY_STEPS * likeliest).floor().clamp(max=PROBABILITY_STEPS - 1).to(torch.uint8)


def _step(logit: Tensor) -> Tensor:
    """By comparing logits, which rounds nothing: 125 or more if and only if the logit is >= 0.

    The rounded probability is wrong by a step at most, and says which two edges to compare with.
    """
    edges = _EDGES.to(logit.device)
    guess = (PROBABILITY_STEPS * logit.sigmoid()).int().clamp_(0, PROBABILITY_STEPS - 1)
    low, high = (edges.index_select(0, guess.flatten() + one).view_as(logit) for one in (0, 1))
    return (guess + (logit >= high).int() - (logit < low).int()).to(torch.uint8)
