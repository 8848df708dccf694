"""The drawing of the net and its table."""

import pytest

from ml.figures.unet import draw_unet, unet_layers
from tests.ml.figures.drawn import texts


def test_each_level_doubles_the_channels_and_halves_the_size() -> None:
    layers = {(layer.kind, layer.level): (layer.channels, layer.size) for layer in unet_layers(4, 2, 8, 3, 64)}
    assert layers == {
        ("input", 1): (4, 64),
        ("encoder", 1): (8, 64),
        ("encoder", 2): (16, 32),
        ("bottom", 3): (32, 16),
        ("up-conv", 2): (16, 32),
        ("decoder", 2): (16, 32),
        ("up-conv", 1): (8, 64),
        ("decoder", 1): (8, 64),
        ("output", 1): (3, 64),
    }


@pytest.mark.parametrize("depth", [1, 6])
def test_every_layer_is_in_the_table_and_no_box_touches_another(depth: int) -> None:
    figure = draw_unet(4, depth, 8, 1, 64 * 2**depth)
    shown = texts(figure)
    for layer in unet_layers(4, depth, 8, 1, 64 * 2**depth):
        assert f"{layer.channels} × {layer.size} × {layer.size}" in shown
    assert f"{sum(layer.parameters for layer in unet_layers(4, depth, 8, 1, 64 * 2**depth)):,}" in shown
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 2 * depth + 3
    assert not any(a.overlaps(b) for index, a in enumerate(boxes) for b in boxes[:index])
