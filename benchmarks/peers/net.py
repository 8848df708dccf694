"""Loads the net of a checkpoint as a user of PyTorch does: eager, in eval mode, without folded BatchNorm."""

from typing import Any

from safetensors.torch import load_file

from benchmarks.peers.model import header
from ml.nn.unet import UNet  # imports nothing of canemap's that touches GDAL


def load_net(model: str) -> UNet:
    """The U-Net with the weights of the checkpoint, on the CPU."""
    document: Any = header(model)
    size = document["config"]["net"]
    net = UNet(len(document["contract"]["bands"]), size["depth"], size["width"])
    net.load_state_dict(load_file(model))
    return net.eval()
