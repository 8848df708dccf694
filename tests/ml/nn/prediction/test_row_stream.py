"""A net that computes an image as a stream of rows has the logits of the whole image at once, with every engine."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from ml.faults import InputRefused
from ml.native import library
from ml.native.build import TARGETS
from ml.nn.prediction.engines import choice, pytorch
from ml.nn.prediction.engines.engine import Engine, Rows
from ml.nn.prediction.engines.native import native
from ml.nn.prediction.row_stream import FREE_SHARE, StreamNet, for_prediction
from ml.nn.unet import UNet
from tests.ml.nn.nets import convolutions_of_a_piece, net_with_a_past

# The prebuilt libraries for each family to which this CPU belongs, and the library that is compiled for this CPU.
_LIBRARIES = [library.prebuilt(TARGETS[first:]) for first in range(len(TARGETS))] + [library.compiled()]
_BY_VERSION = {engine.version: engine for engine in map(native, filter(None, _LIBRARIES))}
EVERY_ENGINE = [pytorch.ENGINE, *_BY_VERSION.values()]
ENGINES = pytest.mark.parametrize("engine", EVERY_ENGINE, ids=lambda engine: f"{engine.name}, {engine.version}")


def eager(net: UNet, image: torch.Tensor) -> torch.Tensor:
    """Compute the logits of the whole image at once with PyTorch alone."""
    with torch.inference_mode():
        logits: torch.Tensor = net(image[None])[0]
    return logits


@pytest.mark.parametrize("engine", choice.installed())
@settings(max_examples=15, deadline=None)
@given(data=st.data(), depth=st.integers(1, 4), seed=st.integers(0, 99))
def test_rows_in_pieces_of_any_height_give_the_logits_of_the_whole_image(
    engine: str, data: st.DataObject, depth: int, seed: int
) -> None:
    net, step = net_with_a_past(3, depth, seed), 2**depth
    rows, cols = (step * data.draw(st.integers(1, 160 // step)) for _ in "yx")
    image = torch.from_numpy(np.random.default_rng(seed).normal(size=(3, rows, cols)).astype(np.float32))
    whole = eager(net, image)
    stream, found, row = for_prediction(net, engine=engine).open(), [], 0
    while row < rows:
        height = min(data.draw(st.integers(1, 3 * step)), rows - row)
        found.append(stream.feed(image[:, row : row + height], last=row + height == rows))
        row += height
    logits = torch.cat(found, dim=1)
    assert logits.shape == whole.shape
    assert (logits - whole).abs().max() < 1e-4 * whole.abs().max().clamp(min=1)


@pytest.mark.parametrize("engine", choice.installed())
@settings(max_examples=10, deadline=None)
@given(data=st.data(), depth=st.integers(1, 3), seed=st.integers(0, 99))
def test_eight_views_give_the_mean_of_the_logits_of_eight_turned_images(
    engine: str, data: st.DataObject, depth: int, seed: int
) -> None:
    net, step = net_with_a_past(3, depth, seed), 2**depth
    rows, cols = (step * data.draw(st.integers(1, 64 // step)) for _ in "yx")
    image = torch.from_numpy(np.random.default_rng(seed).normal(size=(3, rows, cols)).astype(np.float32))
    expected = mean_of_views(net, image)
    stream, found, row = for_prediction(net, engine=engine, views=8).open(), [], 0
    while row < rows:
        height = min(data.draw(st.integers(1, 3 * step)), rows - row)
        found.append(stream.feed(image[:, row : row + height], last=row + height == rows))
        row += height
    assert (torch.cat(found, dim=1) - expected).abs().max() < 1e-4 * expected.abs().max().clamp(min=1)


def mean_of_views(net: UNet, image: torch.Tensor) -> torch.Tensor:
    """Turn and mirror the image itself, and turn the logits back."""
    views = []
    for turns in range(4):
        turned = torch.rot90(image, turns, (1, 2))
        logits = [eager(net, turned), eager(net, turned.flip(2)).flip(2)]
        views += [torch.rot90(each, -turns, (1, 2)) for each in logits]
    return torch.stack(views).mean(dim=0)


def test_a_net_says_that_it_averages_views_and_takes_narrower_stripes() -> None:
    one, eight = (for_prediction(UNet(1, 2, 64), views=views) for views in (1, 8))
    assert "views" not in one.made_by()
    assert eight.made_by() == one.made_by() | {"views": "8"}
    assert eight.stripe_px * 8 == pytest.approx(one.stripe_px, rel=0.01)


@pytest.mark.parametrize("engine", choice.installed())
@settings(max_examples=15, deadline=None)
@given(data=st.data(), depth=st.integers(1, 4), seed=st.integers(0, 99))
def test_context_columns_at_the_sides_get_no_logits_and_change_none(
    engine: str, data: st.DataObject, depth: int, seed: int
) -> None:
    net, step = net_with_a_past(2, depth, seed), 2**depth
    sides = [step * data.draw(st.integers(0, 6)) for _ in range(2)]
    cols = sides[0] + step * data.draw(st.integers(1, 64 // step)) + sides[1]
    image = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 3 * step, cols)).astype(np.float32))
    whole = eager(net, image)[..., sides[0] : cols - sides[1]]
    logits = for_prediction(net, engine=engine).open(*sides).feed(image, last=True)
    assert logits.shape == whole.shape
    assert (logits - whole).abs().max() < 1e-4 * whole.abs().max().clamp(min=1)


@ENGINES
def test_every_engine_equals_eager_torch_at_full_depth_and_width(engine: Engine) -> None:
    net, image = net_with_a_past(4, 4, 0, width=32), torch.randn(4, 192, 224)
    whole = eager(net, image)
    assert whole.abs().max() > 1
    assert (StreamNet(net, engine, image.device)(image) - whole).abs().max() < 1e-4


def test_logits_in_bfloat16_are_close_to_those_in_float32() -> None:
    net, image = net_with_a_past(2, 2, 0), torch.randn(2, 64, 64)
    whole = eager(net, image)
    rough = for_prediction(net, precision="bfloat16")(image)
    assert rough.dtype == torch.float32
    assert 1e-3 < (rough - whole).abs().max() < 0.1 * whole.abs().max()


@pytest.mark.parametrize("depth", range(1, 7))
def test_a_device_that_is_no_cpu_computes_each_piece_by_one_convolution_a_layer(depth: int) -> None:
    """On the device "meta", which takes the way of a GPU and computes nothing."""
    for before in (1, 2, 3):
        assert convolutions_of_a_piece(depth, before) == 4 * depth + 2


def test_the_net_itself_does_not_change() -> None:
    net = UNet(1, 1, 4).train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    for_prediction(net)
    assert net.training
    assert all((net.state_dict()[name] == tensor).all() for name, tensor in before.items())


def test_the_native_engine_is_chosen_wherever_there_is_a_library() -> None:
    expected = "native" if library.find() else "torch"
    assert for_prediction(UNet(1, 1, 8)).engine.name == expected


def test_an_engine_that_is_not_installed_is_refused() -> None:
    with pytest.raises(InputRefused) as caught:
        for_prediction(UNet(1, 1, 4), engine="tpu")
    assert caught.value.faults[0].code == "no_engine"


def test_a_stream_net_names_its_engine_and_its_version() -> None:
    net = for_prediction(UNet(1, 2, 4), engine="torch")
    assert (net.engine.name, net.engine.version.split(", ")[0]) == ("torch", torch.__version__)


@pytest.mark.skipif(_LIBRARIES[0] is None, reason="no prebuilt library for this CPU: run make with a C compiler")
def test_the_version_of_the_native_engine_names_its_family_checksum_and_pytorch() -> None:
    engine = choice.installed()["native"]
    assert re.fullmatch(r"prebuilt for [-\w]+, [0-9a-f]{8}; torch [.\d]+\S*, \w+", engine.version)


def test_a_wide_scene_is_computed_by_fewer_rows_at_a_time() -> None:
    net = for_prediction(UNet(1, 4, 4))
    assert net.rows(2048) > net.rows(16_384) >= 4 << 4


def _rows(image: torch.Tensor, *heights: int) -> Rows:
    """Split `image`, (1, channels, rows, cols), into pieces of `heights` rows, in the memory format of engines."""
    return [*torch.split(image.contiguous(memory_format=torch.channels_last), list(heights), dim=2)]


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 40, 96])
@pytest.mark.parametrize("above, below, cols", [(0, 0, 7), (1, 0, 4), (0, 1, 13), (1, 1, 1)])
@ENGINES
def test_convolutions_with_any_number_of_channels_agree_with_pytorch(
    engine: Engine, channels: int, above: int, below: int, cols: int
) -> None:
    layer, image = torch.nn.Conv2d(channels, channels, 3).requires_grad_(False), torch.randn(1, channels, 9, cols)
    result = engine.convolution(layer, 1)([_rows(image, 2, 6, 1)], above, below)
    expected = layer(functional.pad(image, (1, 1, above, below))).relu()
    assert torch.allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("channels", [3, 16, 32])
@ENGINES
def test_a_convolution_of_two_branches_agrees_with_pytorch(engine: Engine, channels: int) -> None:
    layer = torch.nn.Conv2d(2 * channels, channels, 3).requires_grad_(False)
    images = torch.randn(2, 1, channels, 8, 10)
    branches = [_rows(images[0], 8), _rows(images[1], 3, 5)]
    result = engine.convolution(layer, 2)(branches, 1, 0)
    expected = layer(functional.pad(torch.cat([*images], dim=1), (1, 1, 1, 0))).relu()
    assert torch.allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 4, 8, 32])
@pytest.mark.parametrize("kind, size", [(torch.nn.Conv2d, 1), (torch.nn.ConvTranspose2d, 2)])
@ENGINES
def test_pixelwise_layers_agree_with_pytorch(
    engine: Engine, kind: type[torch.nn.Conv2d], size: int, channels: int
) -> None:
    layer, image = kind(2 * channels, channels, size, size).requires_grad_(False), torch.randn(1, 2 * channels, 3, 5)
    (rows,) = _rows(image, 3)
    assert torch.allclose(engine.pixelwise(layer)(rows), layer(image), atol=1e-5)


@pytest.mark.skipif("native" not in choice.installed(), reason="this machine has no library and no C compiler")
def test_a_native_layer_has_the_same_bits_with_any_number_of_threads() -> None:
    threads, engine = torch.get_num_threads(), choice.installed()["native"]
    layer, rows = torch.nn.Conv2d(32, 32, 3).requires_grad_(False), _rows(torch.randn(1, 32, 70, 33), 70)
    try:
        results = []
        for count in (1, 3):
            torch.set_num_threads(count)
            results.append(engine.convolution(layer, 1)([rows], 1, 1))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*results)


def test_a_gpu_with_little_free_memory_computes_fewer_rows_at_a_time() -> None:
    net = for_prediction(UNet(4, 4, 4), torch.device("meta"))
    assert [net.rows(cols) for cols in (1_000, 100_000)] == [256, 256]
    net.free_bytes = net.most_bytes(128, 20_000) / FREE_SHARE + 1
    assert [net.rows(cols) for cols in (1_000, 20_000, 100_000)] == [256, 128, 64]
    assert for_prediction(UNet(4, 4, 4), torch.device("cpu")).rows(100_000) == 64
