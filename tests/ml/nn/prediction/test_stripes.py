"""Tiled prediction equals the prediction of the whole scene in one piece."""

import threading
import weakref
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from ml.contract import BandStatistics, Contract
from ml.geo.windows import Window
from ml.nn.normalise import normalise
from ml.nn.prediction.engines.choice import installed
from ml.nn.prediction.row_stream import for_prediction
from ml.nn.prediction.stripes import predict_logits
from ml.nn.unet import UNet
from tests.ml.nn.nets import net_with_a_past
from tests.ml.nn.prediction.test_row_stream import mean_of_views

STATISTICS = BandStatistics(mean=0.5, std=2, min=-9, max=9)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Give PyTorch one thread, which stripe processes require."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class ArraySource:
    """A scene in memory."""

    def __init__(self, image: np.ndarray, valid: np.ndarray) -> None:
        self.image, self.valid = image, valid
        self.bands, self.rows, self.cols = image.shape
        self.reads = 0

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        self.reads += 1
        return self.image[:, *window.slices], self.valid[window.slices]

    read_compact = read


def contract(bands: int) -> Contract:
    names = tuple(str(i) for i in range(bands))
    return Contract(bands=names, dtype="float32", gsd=1, nodata=None, statistics=(STATISTICS,) * bands)


def whole(net: UNet, source: ArraySource, views: int = 1) -> np.ndarray:
    step = 2**net.depth
    image, valid = torch.from_numpy(source.image)[None], torch.from_numpy(source.valid)[None]
    padding = (0, -source.cols % step, 0, -source.rows % step)
    padded = functional.pad(normalise(image, valid, contract(source.bands).statistics), padding)
    with torch.no_grad():
        logits = net(padded) if views == 1 else mean_of_views(net, padded[0])[None]
    result: np.ndarray = logits[0, 0, : source.rows, : source.cols].numpy()
    return result


@pytest.mark.parametrize("engine", installed())
@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 260),
    cols=st.integers(1, 200),
    depth=st.integers(1, 3),
    stripe_px=st.integers(16, 128),
    processes=st.integers(1, 3),
    bands=st.integers(1, 4),
    seed=st.integers(0, 1000),
    views=st.sampled_from([1, 1, 1, 8]),
)
def test_tiled_prediction_equals_whole_image_prediction(
    one_thread: None,
    engine: str,
    rows: int,
    cols: int,
    depth: int,
    stripe_px: int,
    processes: int,
    bands: int,
    seed: int,
    views: int,
) -> None:
    source, net = scene_with_holes(rows, cols, bands, seed), net_with_a_past(bands, depth, seed)
    ready = for_prediction(net, engine=engine, views=views)
    tiled, counts = np.full((rows, cols), np.nan, np.float32), np.zeros((rows, cols), np.int64)
    for piece in predict_logits(ready, contract(bands), source, stripe_px=stripe_px, processes=processes):
        tiled[piece.window.slices] = piece.logits
        counts[piece.window.slices] += 1
        assert (piece.valid == source.valid[piece.window.slices]).all()

    assert (counts == 1).all()
    assert np.abs(tiled - whole(net, source, views))[source.valid].max(initial=0) < 1e-4


def scene_with_holes(rows: int, cols: int, bands: int, seed: int) -> ArraySource:
    rng = np.random.default_rng(seed)
    valid = np.ones((rows, cols), dtype=bool)
    for _ in range(rng.integers(4)):
        row, col = rng.integers(rows), rng.integers(cols)
        valid[row : row + rng.integers(1, 200), col : col + rng.integers(1, 200)] = False
    return ArraySource(np.where(valid, rng.normal(size=(bands, rows, cols)), 0).astype(np.float32), valid)


@pytest.mark.parametrize("engine", installed())
@pytest.mark.parametrize(("seed", "processes", "views"), [(0, 1, 1), (1, 1, 8), (2, 2, 1), (3, 1, 1)])
def test_a_prediction_that_starts_further_down_has_the_same_bits(
    one_thread: None, engine: str, seed: int, processes: int, views: int
) -> None:
    source = scene_with_holes(1000, 80, 2, seed)
    net = for_prediction(net_with_a_past(2, 3, seed), engine=engine, views=views)
    predicted = partial(predict_logits, net, contract(2), source, stripe_px=48, processes=processes)
    complete = list(predicted())
    for first_row in range(0, 1000, 4 * net.rows(80)):
        later = list(predicted(first_row=first_row))
        assert [piece.window for piece in later] == [p.window for p in complete if p.window.row >= first_row]
        for piece, other in zip(later[::-1], complete[::-1], strict=False):
            assert (piece.logits == other.logits)[:, piece.valid].all()


def test_where_no_pixel_is_valid_nothing_is_computed() -> None:
    source = ArraySource(np.zeros((1, 40, 40), np.float32), np.zeros((40, 40), bool))
    (piece,) = predict_logits(for_prediction(UNet(1, 2, 3)), contract(1), source)
    assert not piece.valid.any()
    assert not piece.logits.any()


def test_each_row_is_read_once() -> None:
    source, net = scene_with_holes(300, 70, 1, 0), for_prediction(UNet(1, 2, 3))
    for _ in predict_logits(net, contract(1), source, stripe_px=16):
        pass
    assert source.reads == -(-300 // net.rows(70))


@pytest.mark.parametrize("processes", [1, 2])
def test_few_pieces_are_in_memory_at_a_time(one_thread: None, monkeypatch: pytest.MonkeyPatch, processes: int) -> None:
    source, net = scene_with_holes(64 * 80, 32, 1, 0), for_prediction(UNet(1, 2, 3))
    read, kept = source.read, weakref.WeakValueDictionary[int, np.ndarray]()

    def watched(window: Window) -> tuple[np.ndarray, np.ndarray]:
        image, valid = read(window)
        kept[window.row] = valid
        return image, valid

    monkeypatch.setattr(source, "read", watched)
    for _ in predict_logits(net, contract(1), source, stripe_px=16, processes=processes):
        assert len(kept) < 12


def test_the_reading_thread_ends_with_the_prediction() -> None:
    before = threading.active_count()
    pieces = predict_logits(for_prediction(UNet(1, 2, 3)), contract(1), scene_with_holes(900, 40, 1, 0))
    next(pieces)
    assert threading.active_count() > before
    pieces.close()
    assert threading.active_count() == before
