"""The learning rate of each step of a training."""

import math

from ml.config import OptimizerConfig


def learning_rate(config: OptimizerConfig, step: int, total: int) -> float:
    """Return the learning rate of the step with this number, from 0, of `total` steps."""
    warm = round(config.warmup * total)
    if step < warm:
        return config.lr * (step + 1) / (warm + 1)
    t = (step - warm) / (total - warm)
    if config.schedule == "poly":
        return config.lr * math.pow(1 - t, 0.9)
    return config.lr * (1 + math.cos(math.pi * t)) / 2 if config.schedule == "cosine" else config.lr
