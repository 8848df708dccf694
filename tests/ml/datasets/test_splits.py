"""Splits by blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from ml.datasets.splits import NO_SPLIT, SPLITS, BlockSplit, Fractions, SceneSplit, assign_blocks, owners, shares
from ml.faults import InputRefused
from ml.geo.windows import Window


def test_blocks_are_assigned_to_splits_by_their_fractions() -> None:
    (blocks,) = assign_blocks([(10_000, 10_000)], BlockSplit(by="block", block_px=1000))
    assert np.bincount(blocks.ravel()).tolist() == [70, 15, 15]


def test_the_seed_determines_the_split_of_each_block() -> None:
    splits = [assign_blocks([(5000, 5000)], BlockSplit(by="block", block_px=500, seed=seed))[0] for seed in (0, 0, 1)]
    assert np.array_equal(splits[0], splits[1])
    assert not np.array_equal(splits[0], splits[2])


def test_too_few_blocks_for_all_splits_are_refused() -> None:
    with pytest.raises(InputRefused, match="too few"):
        assign_blocks([(512, 512)], BlockSplit(by="block", block_px=256))


def test_without_a_test_fraction_no_block_is_in_the_test_split() -> None:
    fractions = Fractions(train=0.5, val=0.5, test=0)
    (blocks,) = assign_blocks([(512, 512)], BlockSplit(by="block", block_px=256, fractions=fractions))
    assert sorted(blocks.ravel()) == [0, 0, 1, 1]


def grown(mask: np.ndarray, by: int) -> np.ndarray:
    """The pixels within `by` rows and columns of a pixel of `mask`, bool (rows, cols)."""
    for axis in (0, 1):
        padded = np.pad(mask, [(by, by) if axis == a else (0, 0) for a in (0, 1)])
        mask = np.asarray(sliding_window_view(padded, 2 * by + 1, axis=axis).any(axis=-1))
    return mask


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(130, 300), cols=st.integers(130, 300), buffer_px=st.integers(0, 32), seed=st.integers(0, 99))
def test_no_two_splits_come_closer_than_the_buffer(rows: int, cols: int, buffer_px: int, seed: int) -> None:
    split = BlockSplit(by="block", block_px=64, buffer_px=buffer_px, seed=seed)
    (blocks,) = assign_blocks([(rows, cols)], split)
    whole = Window(0, 0, rows, cols)
    found = owners(blocks, whole, (rows, cols), split)
    masks = [found == index for index in range(3)]
    for index, mask in enumerate(masks):
        for other in masks[index + 1 :]:
            assert not (mask & grown(other, buffer_px)).any()


def test_the_owners_of_a_window_are_those_in_the_whole_scene() -> None:
    split = BlockSplit(by="block", block_px=64, buffer_px=20)
    (blocks,) = assign_blocks([(300, 200)], split)
    whole = owners(blocks, Window(0, 0, 300, 200), (300, 200), split)
    assert np.array_equal(owners(blocks, Window(50, 30, 100, 90), (300, 200), split), whole[50:150, 30:120])


def test_whole_scenes_belong_to_their_split_or_to_none() -> None:
    split = SceneSplit(by="scene", train=("a",), val=("b",))
    a, b, c = shares(["a", "b", "c"], [(20, 30)] * 3, split)
    assert [share.splits for share in (a, b, c)] == [(SPLITS.index("train"),), (SPLITS.index("val"),), ()]
    window = Window(5, 5, 10, 10)
    assert (b.owners(window) == 1).all() and (c.owners(window) == NO_SPLIT).all()
    assert a.owners(window).shape == (10, 10)


def test_a_scene_of_blocks_has_the_splits_of_its_blocks() -> None:
    split = BlockSplit(by="block", block_px=64, buffer_px=0, fractions=Fractions(train=0.5, val=0.5, test=0))
    found = shares(["a", "b"], [(64, 64), (64, 64)], split)
    assert sorted(share.splits for share in found) == [(0,), (1,)]
