"""The U-Net has the right shapes and reach, and its folded copy computes the same."""

import pytest
import torch
from torch import Tensor

from ml.nn.unet import UNet, folded


@pytest.fixture
def image() -> Tensor:
    return torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))


def trained_a_little(net: UNet, image: Tensor) -> UNet:
    """Return `net` with BatchNorm statistics that differ from those of an untrained net."""
    with torch.no_grad():
        for _ in range(3):
            net.train()(image)
    return net.eval()


@pytest.mark.parametrize(("bands", "depth", "width", "outputs"), [(3, 1, 4, 1), (4, 3, 4, 1), (1, 2, 6, 5)])
def test_logits_have_the_size_of_the_image(bands: int, depth: int, width: int, outputs: int) -> None:
    logits = UNet(bands, depth, width, outputs)(torch.randn(2, bands, 16, 24))
    assert logits.shape == (2, outputs, 16, 24)


def test_the_widths_double_with_each_pooling() -> None:
    net = UNet(bands=4, depth=4, width=64)
    assert [down[0].out_channels for down in net.down] == [128, 256, 512, 1024]  # type: ignore[index]
    assert sum(weight.numel() for weight in net.parameters()) == pytest.approx(31.0e6, rel=0.01)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_padding_changes_no_logit_beyond_the_margin(depth: int) -> None:
    torch.manual_seed(depth)
    step = 2**depth
    edge = 6 * step
    net = trained_a_little(UNet(1, depth, 4), torch.randn(2, 1, 8 * step, 8 * step)).double()
    whole = torch.randn(1, 1, 20 * step, 20 * step).double()
    with torch.no_grad():
        cut = net(whole[..., step:, :])[..., edge:, :]
        same = net(whole)[..., step + edge :, :]
    assert torch.allclose(cut, same, atol=1e-12)


def test_the_copy_without_batch_norm_computes_the_same(image: Tensor) -> None:
    torch.manual_seed(0)
    net = trained_a_little(UNet(3, 3, 8), image)
    with torch.no_grad():
        logits, fast = net(image), folded(net)(image)
    assert (logits - fast).abs().max() < 1e-4
    assert any(isinstance(layer, torch.nn.BatchNorm2d) for layer in net.modules()), "the original does not change"
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in folded(net).modules())
