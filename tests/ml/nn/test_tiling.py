"""Tiled prediction equals the prediction of the whole scene in one piece."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from ml.contract import BandStatistics, Contract
from ml.geo.windows import Window
from ml.nn.inputs import normalise
from ml.nn.tiling import predict_logits
from ml.nn.unet import UNet, for_prediction

STATISTICS = BandStatistics(mean=0.5, std=2, min=-9, max=9)


class ArraySource:
    """A scene in memory."""

    def __init__(self, image: np.ndarray, valid: np.ndarray) -> None:
        self.image, self.valid = image, valid
        self.bands, self.rows, self.cols = image.shape
        self.reads = 0

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        self.reads += 1
        return self.image[:, *window.slices], self.valid[window.slices]


def contract(bands: int) -> Contract:
    names = tuple(str(i) for i in range(bands))
    return Contract(bands=names, dtype="float32", gsd=1, nodata=None, statistics=(STATISTICS,) * bands)


def net_with_a_past(bands: int, depth: int, seed: int) -> UNet:
    """A net in eval mode with logits of several units, that feels the edges: with 5/6 of the margin it fails."""
    torch.manual_seed(seed)
    net = UNet(bands, depth, 4)
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(1, 3)
                layer.bias.normal_()
        for _ in range(20):
            net(torch.randn(2, bands, 64, 64))
        net.head.weight *= 10
    return net.eval()


def whole(net: UNet, source: ArraySource) -> np.ndarray:
    step = 2**net.depth
    image, valid = torch.from_numpy(source.image)[None], torch.from_numpy(source.valid)[None]
    padding = (0, -source.cols % step, 0, -source.rows % step)
    with torch.no_grad():
        logits = net(functional.pad(normalise(image, valid, contract(source.bands).statistics), padding))
    result: np.ndarray = logits[0, 0, : source.rows, : source.cols].numpy()
    return result


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 200),
    cols=st.integers(1, 200),
    depth=st.integers(1, 3),
    window_px=st.integers(16, 128),
    bands=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_tiled_prediction_equals_whole_image_prediction(
    rows: int, cols: int, depth: int, window_px: int, bands: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    valid = np.ones((rows, cols), dtype=bool)
    for _ in range(rng.integers(4)):  # holes of nodata
        row, col = rng.integers(rows), rng.integers(cols)
        valid[row : row + rng.integers(1, 80), col : col + rng.integers(1, 80)] = False
    image = np.where(valid, rng.normal(size=(bands, rows, cols)), 0).astype(np.float32)
    source, net = ArraySource(image, valid), net_with_a_past(bands, depth, seed)

    tiled, seen = np.full((rows, cols), np.nan, np.float32), np.zeros((rows, cols), np.int64)
    for window, logits, window_valid in predict_logits(
        for_prediction(net), contract(bands), source, window_px=window_px
    ):
        tiled[window.slices] = logits
        seen[window.slices] += 1
        assert (window_valid == valid[window.slices]).all()

    assert (seen == 1).all()
    assert np.abs(tiled - whole(net, source))[valid].max(initial=0) < 1e-4


def test_a_window_without_a_valid_pixel_is_not_computed() -> None:
    source = ArraySource(np.zeros((1, 40, 40), np.float32), np.zeros((40, 40), bool))
    without_weights = UNet(1, 2, 3).to("meta")
    (prediction,) = predict_logits(without_weights, contract(1), source, window_px=64)
    assert not prediction[2].any()
