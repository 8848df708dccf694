"""From logits to classes and probabilities, on the device where the logits are.

logits: float32 (outputs, ...). One output is the logit of class 1 of two; K > 2 outputs are those of K classes.
"""

import math

import torch
from torch import Tensor

PROBABILITY_STEPS = 250


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
        # 2p - 1 = tanh(logit / 2), which has the logit's sign however small it is: 125 or more exactly from 0 on
        byte = (logits[0] / 2).tanh_().mul_(PROBABILITY_STEPS / 2).floor_().add_(PROBABILITY_STEPS / 2)
    else:
        likeliest = 1 / (logits - logits.amax(dim=0)).exp().sum(dim=0)
        byte = (PROBABILITY_STEPS * likeliest).floor()
    return byte.clamp(max=PROBABILITY_STEPS - 1).to(torch.uint8)
