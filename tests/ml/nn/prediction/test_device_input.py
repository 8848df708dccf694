"""The pixels of a piece go to a GPU once, as they are stored, and are normalised there to the same bits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.utils._python_dispatch import TorchDispatchMode

from ml.contract import BandStatistics, Contract
from ml.geo.windows import Window
from ml.nn.normalise import normalise
from ml.nn.prediction.device_input import Copies
from ml.nn.prediction.row_stream import for_prediction
from ml.nn.prediction.stripes import predict_logits
from ml.nn.unet import UNet
from ml.scenes.source import RasterSource
from tests.ml.nn.conftest import fields, write_tiff

BAND = BandStatistics(mean=401.3, std=177.7, min=0, max=3000, low=50, high=900)


class Sent(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the dtype and the number of pixels of each tensor that goes from the host to another device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.copies: list[tuple[torch.dtype, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._to_copy.default and args[0].device.type == "cpu" and result.device.type != "cpu":
            self.copies.append((args[0].dtype, args[0].numel()))
        return result


def test_a_piece_goes_to_the_device_once_as_it_is_stored_however_many_stripes_it_has(tmp_path: Path) -> None:
    """On the device "meta", which takes the way of a GPU."""
    path = write_tiff(tmp_path / "scene.tif", fields(5, 64, 200)[0].astype(np.uint16))
    net = for_prediction(UNet(2, 1, 4), torch.device("meta"))
    contract = Contract(bands=("a", "b"), dtype="uint16", gsd=1, nodata=0, statistics=(BAND, BAND))
    normalise(torch.zeros(1, 2, 1, 1, device="meta"), torch.ones(1, 1, 1, device="meta", dtype=torch.bool), (BAND,) * 2)
    sent = Sent()
    with RasterSource(path, 0) as source:
        assert source.dtype == np.uint16
        copies, net.copies = net.copies, copies_seen_by(sent, net.copies)
        pieces = list(predict_logits(net, contract, source, stripe_px=64))
    assert copies is not net.copies
    assert len(pieces) == 1
    assert sent.copies == [(torch.uint16, 2 * 64 * 200), (torch.bool, 64 * 200)]


def copies_seen_by(sent: Sent, copies: Copies) -> Copies:
    """`copies`, whose work in the reading thread `sent` notes: a mode belongs to the thread that enters it."""

    class Seen(Copies):
        def normalised(self, *args: Any) -> torch.Tensor:
            with sent:
                return copies.normalised(*args)

        def received(self, image: torch.Tensor) -> torch.Tensor:
            return copies.received(image)

    return Seen(torch.device("cpu"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_pixels_as_they_are_stored_are_normalised_to_the_bits_of_float32(tmp_path: Path, dtype: type) -> None:
    image: NDArray[Any] = (fields(5, 48, 61)[0] / (4 if dtype == np.uint8 else 1)).astype(dtype)
    image[:, 5:9, 20:30] = 0
    with RasterSource(write_tiff(tmp_path / "scene.tif", image), 0) as source:
        window = Window(0, 0, source.rows, source.cols)
        stored, valid = source.read_compact(window)
        plain, known = (torch.from_numpy(array)[None] for array in source.read(window))
    assert stored.dtype == dtype
    found = Copies(torch.device("cpu")).normalised(stored, valid, (BAND, BAND), 16)
    assert found.shape == (2, 48, 64)
    assert not found[..., 61:].any()
    assert torch.equal(found[..., :61], normalise(plain, known, (BAND, BAND))[0])
