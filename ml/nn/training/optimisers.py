"""The optimisers of torch, without its compiler.

Torch marks the methods of its optimisers as code that it does not compile, and at the first call the marks import the
compiler: 70 MB, and almost as much computing as the import of torch itself, in each process that trains. The step of an
optimiser is never compiled here, so these classes have the methods that are below the marks, and compute the same bits.
"""

from inspect import unwrap

import torch
from torch.optim import SGD, AdamW, Optimizer

from ml.config import OptimizerConfig
from ml.nn.unet import UNet


class _Unmarked(Optimizer):
    add_param_group = unwrap(Optimizer.add_param_group)
    zero_grad = unwrap(Optimizer.zero_grad)
    state_dict = unwrap(Optimizer.state_dict)
    load_state_dict = unwrap(Optimizer.load_state_dict)


class PlainAdamW(_Unmarked, AdamW):
    """AdamW that does not import torch's compiler."""

    step = torch.no_grad()(unwrap(AdamW.step))


class PlainSGD(_Unmarked, SGD):
    """Stochastic gradient descent that does not import torch's compiler."""

    step = torch.no_grad()(unwrap(SGD.step))


def make_optimizer(config: OptimizerConfig, net: UNet, *, fused: bool) -> Optimizer:
    """Make the optimiser of the weights of `net`. fused: Whether it updates all weights in one kernel."""
    weights, decay = net.parameters(), config.weight_decay
    if config.name == "sgd":
        return PlainSGD(weights, config.lr, momentum=config.momentum, weight_decay=decay, fused=fused)
    return PlainAdamW(weights, config.lr, betas=(config.momentum, 0.999), weight_decay=decay, fused=fused)
