"""Chips are cut correctly, and their draw depends only on the seed and the epoch."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from ml.config import NetConfig, TrainConfig
from ml.data import TrainingData
from ml.faults import InputRefused
from ml.nn.training.chips import ChipPosition, ChipSampler, _starts
from ml.nn.training.decoded_scenes import cache_scene
from tests.ml.nn.conftest import contract_of, write_labelled, write_tiff

CONFIG = TrainConfig(net=NetConfig(depth=1, width=2), chip_size=16, batch_size=4, balance="none")
CONTRACT = contract_of(np.random.default_rng(0).integers(1, 99, (1, 64, 64), dtype=np.uint8))


def sampler(folder: Path, masks: list[np.ndarray], **changes: object) -> ChipSampler:
    scenes = []
    for i, mask in enumerate(masks):
        image = np.random.default_rng(i).integers(1, 99, (1, *mask.shape), dtype=np.uint8)
        scenes.append(cache_scene(write_labelled(folder, f"s{i}", image, mask), CONTRACT, folder / f"cache{i}"))
    return ChipSampler(scenes, TrainConfig.model_validate(CONFIG.model_dump() | changes), CONTRACT)


def test_a_cached_scene_equals_its_file(training_data: TrainingData, tmp_path: Path) -> None:
    scene = cache_scene(training_data.train[0], training_data.contract, tmp_path / "cache")
    assert scene.image.dtype == np.uint8, "the dtype of the file"
    assert scene.image.shape == (2, 64, 80)
    assert not scene.valid[:5, :7].any()
    assert (scene.mask[:5, :7] == 255).all(), "pixels without data are unlabelled, whatever the labels say"
    assert scene.valid[5:].all()
    assert set(np.unique(scene.mask[5:-6])) == {0, 1}


@given(st.integers(1, 200), st.integers(1, 64), st.integers(0, 63))
def test_chips_cover_every_pixel_whatever_the_offset(length: int, size: int, offset: int) -> None:
    starts = _starts(length, size, offset % size, once=False)
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


def test_without_balancing_an_epoch_draws_each_chip_once(tmp_path: Path) -> None:
    chips = sampler(tmp_path, [np.zeros((16, 16), np.uint8)] * 8)
    drawn = [position for step in chips.epoch(0) for position in step]
    assert chips.steps == 2
    assert sorted(drawn) == [ChipPosition(i, 0, 0) for i in range(8)]


def test_the_draw_depends_on_seed_and_epoch_alone(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).integers(2, size=(90, 70), dtype=np.uint8)
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    one, two = (sampler(tmp_path / name, [mask], seed=1) for name in ("a", "b"))
    one.epoch(0)
    assert one.epoch(5) == two.epoch(5)
    assert one.epoch(5) != one.epoch(6)
    assert one.epoch(5) != sampler(tmp_path / "c", [mask], seed=2).epoch(5)


def test_a_scene_smaller_than_a_chip_is_padded_with_unlabelled_pixels(tmp_path: Path) -> None:
    chips = sampler(tmp_path, [np.ones((10, 6), np.uint8)])
    image, valid, mask, _ = chips.cut([ChipPosition(0, 0, 0)])
    assert image.shape == (1, 1, 16, 16)
    assert valid.sum() == 60
    assert valid[0, :10, :6].all()
    assert (mask[~valid] == 255).all()
    assert (image[0, 0][valid[0]] > 0).all()
    assert (image[0, 0][~valid[0]] == 0).all()


def test_a_batch_from_signed_and_unsigned_scenes_keeps_the_values_of_both(tmp_path: Path) -> None:
    random, mask = np.random.default_rng(0), np.zeros((16, 16), np.uint8)
    images = random.integers(40_000, 60_000, (1, 16, 16), np.uint16), random.integers(-99, 99, (1, 16, 16), np.int16)
    contract = contract_of(images[0])
    scenes = [
        cache_scene(write_labelled(tmp_path, f"s{i}", image, mask), contract, tmp_path / f"cache{i}")
        for i, image in enumerate(images)
    ]
    batch = ChipSampler(scenes, CONFIG, contract).cut([ChipPosition(0, 0, 0), ChipPosition(1, 0, 0)])
    assert [chip.tolist() for chip in batch.image] == [image.tolist() for image in images]


def rare_corner(size: int = 64) -> np.ndarray:
    """Make a mask with few pixels of class 1 and some unlabelled pixels."""
    mask = np.zeros((size, size), dtype=np.uint8)
    mask[:12, :20] = 1
    mask[-5:] = 255
    return mask


def test_the_exact_mode_shows_each_negative_pixel_once_and_unchanged(tmp_path: Path) -> None:
    mask = rare_corner(72)  # not a multiple of the chip size
    chips = sampler(tmp_path, [mask], balance="oversample_exact")
    batches = [chips.cut(step) for step in chips.epoch(3)]
    shown = sum(int((batch.mask == 0).sum()) for batch in batches)
    assert shown == (mask == 0).sum(), "each negative pixel exactly once"
    originals = [chip for batch in batches for chip, fixed in zip(batch.mask, batch.fixed, strict=True) if fixed]
    assert sum(int((chip == 1).sum()) for chip in originals) == (mask == 1).sum()
    drawn = chips.drawn_pixels(3)
    assert drawn[1] == pytest.approx(drawn[0], rel=0.25), "about as many positive pixels as negative ones"


def test_drawn_pixels_are_counted_as_in_the_chips_that_are_cut(tmp_path: Path) -> None:
    chips = sampler(tmp_path, [rare_corner()], balance="oversample")
    masks = [chips.cut(step).mask for step in chips.epoch(0)]
    assert chips.drawn_pixels(0).tolist() == [sum(int((mask == value).sum()) for mask in masks) for value in (0, 1)]
    assert chips.pixels().tolist() == [(rare_corner() == value).sum() for value in (0, 1)]


def test_without_crop_the_grid_has_no_offset(tmp_path: Path) -> None:
    chips = sampler(tmp_path, [np.zeros((64, 64), np.uint8)], augment=["flip"])
    assert {position.row % 16 for epoch in range(3) for step in chips.epoch(epoch) for position in step} == {0}


def test_bad_chips_are_dropped_and_listed(tmp_path: Path) -> None:
    image = np.random.default_rng(1).integers(60, 99, (1, 32, 48), dtype=np.uint8)
    image[:, :16, :16] = 70  # constant
    image[:, :16, 16:32] = 255  # cloud, far above the contract's mean
    image[:, 3, 20] = 250
    image[:, 16:, :16] = 0  # nodata
    scene = write_labelled(tmp_path, "s", image, np.zeros((32, 48), np.uint8), nodata=0)
    statistics = CONTRACT.statistics[0].model_copy(update={"mean": 80.0, "std": 12.0})
    contract = CONTRACT.model_copy(update={"statistics": (statistics,)})
    chips = ChipSampler([cache_scene(scene, contract, tmp_path / "cache")], CONFIG, contract)
    assert [(c.row, c.col, c.why) for c in chips.dropped] == [(0, 0, "constant"), (0, 16, "cloud")]
    assert all(c.scene == "s" for c in chips.dropped)
    origins = {(position.row, position.col) for step in chips.epoch(0) for position in step}
    assert len(origins) <= chips.steps * 4


@pytest.mark.parametrize(("fill", "why"), [((200, 255), "cloud"), ((70, 71), "constant")])
@pytest.mark.parametrize("balance", ["none", "oversample", "undersample", "oversample_exact"])
def test_a_class_that_only_chips_that_look_unusable_have_is_seen(
    tmp_path: Path, fill: tuple[int, int], why: str, balance: str
) -> None:
    rng = np.random.default_rng(1)
    image, mask = rng.integers(60, 99, (1, 64, 64), dtype=np.uint8), np.zeros((64, 64), np.uint8)
    image[:, 16:32, 16:32], mask[16:32, 16:32] = rng.integers(*fill, (16, 16)), 1  # 6 %, and just one chip
    image[:, :16, 48:], mask[:16, 48:] = 255, 255  # a cloud without a label
    image[:, 48:, 48:] = rng.integers(200, 255, (16, 16))  # a cloud of which class 0 loses little
    scene = write_labelled(tmp_path, "s", image, mask)
    statistics = CONTRACT.statistics[0].model_copy(update={"mean": 80.0, "std": 12.0})
    contract = CONTRACT.model_copy(update={"statistics": (statistics,)})
    config = TrainConfig.model_validate(CONFIG.model_dump() | {"balance": balance, "augment": ["flip"]})
    chips = ChipSampler([cache_scene(scene, contract, tmp_path / "cache")], config, contract)
    assert [(c.row, c.col, c.why) for c in chips.dropped] == [(48, 48, "cloud")]
    assert chips.dropped_pixels["cloud"].tolist() == [256, 0]
    assert chips.kept_pixels[why].tolist() == [0, 256]
    assert chips.seen_pixels.tolist() == [13 * 256, 256]
    drawn = {(position.row, position.col) for step in chips.epoch(0) for position in step}
    assert (16, 16) in drawn
    assert (48, 48) not in drawn
    moved = ChipSampler(
        [cache_scene(scene, contract, tmp_path / "moved")], config.model_copy(update={"augment": ("crop",)}), contract
    )
    assert all(moved.drawn_pixels(epoch)[1] for epoch in range(9)), "random crops see the class in every epoch"


def test_when_all_chips_are_bad_the_training_is_refused(tmp_path: Path) -> None:
    image = np.full((1, 32, 32), 70, dtype=np.uint8)
    scene = cache_scene(write_labelled(tmp_path, "s", image, np.zeros((32, 32), np.uint8)), CONTRACT, tmp_path / "c")
    with pytest.raises(InputRefused) as refused:
        ChipSampler([scene], CONFIG, CONTRACT)
    assert refused.value.faults[0].code == "no_usable_chips"


def test_chips_with_look_alike_crops_are_drawn_more_often(tmp_path: Path) -> None:
    image = np.random.default_rng(1).integers(1, 99, (1, 16, 128), dtype=np.uint8)
    scene = write_labelled(tmp_path, "s", image, np.zeros((16, 128), np.uint8))
    write_tiff(scene.mask, np.stack([np.zeros((16, 128)), np.full((16, 128), 255)]).astype(np.uint8))
    with rasterio.open(scene.mask, "r+") as file:
        file.write(np.full((16, 16), 2, np.uint8), 2, window=rasterio.windows.Window(32, 0, 16, 16))
    cached = cache_scene(scene, CONTRACT, tmp_path / "cache", hard=[2])
    config = CONFIG.model_copy(update={"steps_per_epoch": 50, "augment": ()})
    positions = [position for step in ChipSampler([cached], config, CONTRACT).epoch(0) for position in step]
    assert sum(position.col == 32 for position in positions) / len(positions) == pytest.approx(3 / 10, abs=0.02)
