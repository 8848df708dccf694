"""Writes the ONNX file that a user of Deepness exports from PyTorch before predicting."""

from pathlib import Path

import torch

from benchmarks.peers.net import load_net

TILE_PX = 512


def export(model: str) -> None:
    """Write the net for tiles of one size as ONNX, beside the checkpoint."""
    net = load_net(model)
    example = torch.zeros(1, net.bands, TILE_PX, TILE_PX)
    torch.onnx.export(net, (example,), Path(model).with_suffix(".onnx"), dynamo=True, external_data=False)
