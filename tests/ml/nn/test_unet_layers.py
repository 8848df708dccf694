"""The table of layers agrees with the net."""

import pytest
import torch

from ml.figures.unet import unet_layers
from ml.nn.unet import UNet


@pytest.mark.parametrize(("bands", "depth", "width", "outputs"), [(3, 1, 4, 1), (4, 3, 2, 13), (1, 6, 1, 2)])
def test_the_table_has_the_parameters_and_shapes_of_the_net(bands: int, depth: int, width: int, outputs: int) -> None:
    net, size = UNet(bands, depth, width, outputs), 2**depth
    layers = unet_layers(bands, depth, width, outputs, size)
    blocks = [net.stem, *net.down]
    for up in net.up:
        blocks += [up.enlarge, up.conv]
    blocks.append(net.head)
    shapes: list[tuple[int, int]] = []
    for block in blocks:
        block.register_forward_hook(lambda _module, _inputs, out: shapes.append((out.shape[1], out.shape[2])))
    with torch.inference_mode():
        net.eval()(torch.zeros(1, bands, size, size))
    assert shapes == [(layer.channels, layer.size) for layer in layers[1:]]
    assert [sum(p.numel() for p in block.parameters()) for block in blocks] == [item.parameters for item in layers[1:]]
