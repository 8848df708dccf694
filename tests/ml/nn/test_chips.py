"""Chips: what is cut, what is drawn, and that the draw depends on nothing but the seed and the epoch."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.config import NetConfig, TrainConfig
from ml.data import TrainingData
from ml.nn.chips import LARGEST_FACTOR, ChipSampler, Place, _starts, cache_scene, draw, repetitions
from tests.ml.nn.conftest import write_labelled

CONFIG = TrainConfig(net=NetConfig(depth=1, width=2), chip_size=16, batch_size=4, balance="none")


def sampler(folder: Path, masks: list[np.ndarray], **changes: object) -> ChipSampler:
    scenes = []
    for i, mask in enumerate(masks):
        image = np.full((1, *mask.shape), 7 + i, dtype=np.uint8)
        scenes.append(cache_scene(write_labelled(folder, f"s{i}", image, mask), folder / f"cache{i}"))
    return ChipSampler(scenes, TrainConfig.model_validate(CONFIG.model_dump() | changes))


def test_a_cached_scene_equals_its_file(training_data: TrainingData, tmp_path: Path) -> None:
    scene = cache_scene(training_data.train[0], tmp_path / "cache")
    assert scene.image.dtype == np.uint8, "the file's own type"
    assert scene.image.shape == (2, 64, 80)
    assert not scene.valid[:5, :7].any()
    assert (scene.mask[:5, :7] == 255).all(), "nodata is unlabelled whatever the labels say"
    assert scene.valid[5:].all()
    assert set(np.unique(scene.mask[5:-6])) == {0, 1}


@given(st.integers(1, 200), st.integers(1, 64), st.integers(0, 63))
def test_chips_cover_every_pixel_whatever_the_offset(length: int, size: int, offset: int) -> None:
    starts = _starts(length, size, offset % size)
    covered = {pixel for start in starts for pixel in range(start, min(start + size, length))}
    assert covered == set(range(length))
    assert all(0 <= start <= max(length - size, 0) for start in starts)


def test_a_chip_without_a_labelled_pixel_is_never_drawn(tmp_path: Path) -> None:
    mask = np.full((64, 64), 255, dtype=np.uint8)
    mask[40:44, 50:53] = 1
    mask[3, 3] = 0
    chips = sampler(tmp_path, [mask], steps_per_epoch=5)
    for epoch in range(3):
        for step in chips.epoch(epoch):
            assert all((chip != 255).any() for chip in chips.cut(step).mask)


def test_an_epoch_draws_each_chip_of_an_unbalanced_training_once(tmp_path: Path) -> None:
    chips = sampler(tmp_path, [np.zeros((16, 16), np.uint8)] * 8)
    drawn = [place for step in chips.epoch(0) for place in step]
    assert chips.steps == 2
    assert sorted(drawn) == [Place(i, 0, 0) for i in range(8)]


def test_the_draw_depends_on_seed_and_epoch_alone(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).integers(2, size=(90, 70), dtype=np.uint8)
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    one, two = (sampler(tmp_path / name, [mask], seed=1) for name in ("a", "b"))
    one.epoch(0)
    assert one.epoch(5) == two.epoch(5)
    assert one.epoch(5) != one.epoch(6)
    assert one.epoch(5) != sampler(tmp_path / "c", [mask], seed=2).epoch(5)


def test_a_scene_smaller_than_a_chip_is_padded_with_nothing(tmp_path: Path) -> None:
    chips = sampler(tmp_path, [np.ones((10, 6), np.uint8)])
    image, valid, mask = chips.cut([Place(0, 0, 0)])
    assert image.shape == (1, 1, 16, 16)
    assert valid.sum() == 60
    assert valid[0, :10, :6].all()
    assert (mask[~valid] == 255).all()
    assert (image[0, 0][valid[0]] == 7).all()
    assert (image[0, 0][~valid[0]] == 0).all()


COUNTS = np.array([[100, 0], [90, 10], [60, 40], [20, 80], [100, 0]])


@pytest.mark.parametrize("balance", ["oversample", "undersample"])
def test_balancing_draws_as_many_pixels_of_either_class(balance: str) -> None:
    drawn = (repetitions(COUNTS, balance)[:, None] * COUNTS).sum(axis=0)  # type: ignore[arg-type]
    assert drawn[0] == pytest.approx(drawn[1])


def test_oversampling_repeats_rich_chips_and_undersampling_leaves_out_poor_ones() -> None:
    more, fewer = repetitions(COUNTS, "oversample"), repetitions(COUNTS, "undersample")
    assert more.min() == 1
    assert fewer.max() == 1
    assert np.allclose(more / fewer, more[3]), "the same proportions"
    assert (repetitions(COUNTS, "none") == 1).all()


def test_no_chip_is_repeated_without_bound() -> None:
    hopeless = np.array([[1000, 1], [1000, 0], [1000, 0]])
    assert repetitions(hopeless, "oversample").tolist() == [LARGEST_FACTOR, 1, 1]


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=30), st.integers(1, 200), st.integers(0, 99))
def test_each_chip_is_drawn_its_expected_number_of_times_up_to_rounding(
    wanted: list[float], draws: int, seed: int
) -> None:
    drawn = draw(np.array(wanted), draws, np.random.default_rng(seed))
    expected = np.array(wanted) * draws / sum(wanted)
    assert len(drawn) == draws
    assert np.abs(np.bincount(drawn, minlength=len(wanted)) - expected).max() < 1 + 1e-6
