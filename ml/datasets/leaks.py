"""Leaks between splits: what is learnt from one of them and asked about in another.

Three ways: scenes that lie on the same ground, scenes that hold the same pixels wherever their files say that they
lie, and fields that are labelled in two splits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from ml.datasets.feature_counts import FeatureCounts, LayerFeatureCounts
from ml.datasets.fingerprints import ONE_IN, Prints, shared_prints
from ml.datasets.splits import NOBODY, SPLITS
from ml.faults import Fault
from ml.geo.crs import transformer
from ml.geo.grid import Grid
from ml.labels.layers import LabelLayer

_NAMED = 7  # of each kind: nobody reads more than some twenty faults
_WIDER_PX = 1.5  # than this an overlap must be: neighbours may share an edge, not quite exactly
_FEWEST_PRINTS = 3
_ONE_SPLIT = "Put both into the same split, or leave one of them out."
_ONE_SPLIT_A_FIELD = (
    "Put the scenes of a field into one split, or drop what is shared: each field is left to the split that has most of"
    " it. If a polygon is many fields dissolved into one, send them one by one."
)


@dataclass(frozen=True)
class PlacedScene:
    """A scene for the audit. splits: those that have a part of it, as indices into SPLITS."""

    name: str
    grid: Grid
    splits: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name!r} ({', '.join(SPLITS[index] for index in self.splits)})"


def overlapping_scenes(places: Sequence[PlacedScene]) -> list[Fault]:
    """leak_overlapping_scenes: scenes of different splits that lie on each other by more than a pixel or so."""
    pairs = [pair for pair in _neighbours(places) if _may_leak(places, pair)]
    found = [(pair, pixels) for pair in pairs if (pixels := _overlap_px(*(places[index].grid for index in pair)))]

    def fault(pair: tuple[int, int], pixels: float) -> Fault:
        share = pixels / (places[pair[0]].grid.rows * places[pair[0]].grid.cols)
        what = f"overlap by {pixels:,.0f} pixels, {share:.2%} of the first"
        return _pair_fault("leak_overlapping_scenes", places, pair, what)

    return _capped(found, fault)


def duplicate_pixels(places: Sequence[PlacedScene], prints: Sequence[Prints]) -> list[Fault]:
    """leak_duplicate_pixels: scenes of different splits that share at least 3 fingerprints."""
    shared = sorted(shared_prints(prints).items())
    found = [(pair, count) for pair, count in shared if count >= _FEWEST_PRINTS and _may_leak(places, pair)]

    def fault(pair: tuple[int, int], count: int) -> Fault:
        what = f"hold the same pixels, about {count * ONE_IN:,} of them ({count} fingerprints)"
        return _pair_fault("leak_duplicate_pixels", places, pair, what)

    return _capped(found, fault)


def shared_fields(
    places: Sequence[PlacedScene], truths: Sequence[LabelLayer], feature_counts: FeatureCounts
) -> list[Fault]:
    """leak_shared_fields: fields with labelled pixels in two splits or more."""
    pixels = [
        _by_field(truth.fields.numbers, layer) if truth.fields else np.zeros((0, len(SPLITS)))
        for truth, layer in zip(truths, feature_counts.layers, strict=True)
    ]
    found = [(number, field) for number, by_field in enumerate(pixels) for field in _shared(by_field)]

    def fault(number: int, field: int) -> Fault:
        truth, layer, counts = truths[number], feature_counts.layers[number], pixels[number][field]
        there = ", ".join(
            f"{counts[split]} px in {SPLITS[split]} ({places[_scene_of(truth, layer, field, split)].name})"
            for split in np.flatnonzero(counts).tolist()
        )
        name = truth.fields.names[field] if truth.fields else ""
        detail = f"One field ({name} of {truth.name!r}) has {there}."
        return Fault("leak_shared_fields", detail, _ONE_SPLIT_A_FIELD, f"/labels/{number}")

    return _capped(found, fault)


def drop_shared_fields(truths: Sequence[LabelLayer], feature_counts: FeatureCounts) -> list[np.ndarray]:
    """Leave each field to the split that has most of its pixels, and take the others off the census.

    Returns:
        For each layer the only split in which a feature may be labelled, int8 (features,), or -1 for any.
    """
    only = []
    for truth, layer in zip(truths, feature_counts.layers, strict=True):
        owner = np.full(len(truth.legend.names), NOBODY, dtype=np.int8)
        if truth.fields:
            pixels = _by_field(truth.fields.numbers, layer)
            owners = np.full(len(pixels), NOBODY, dtype=np.int8)
            owners[_shared(pixels)] = pixels[_shared(pixels)].argmax(axis=1)
            owner = owners[truth.fields.numbers]
            bound = owner[: len(layer.pixels), None]
            layer.pixels[(bound != NOBODY) & (bound != np.arange(len(SPLITS)))] = 0
        only.append(owner)
    return only


def _may_leak(places: Sequence[PlacedScene], pair: tuple[int, int]) -> bool:
    one, other = (places[index].splits for index in pair)
    return bool(one and other) and len({*one, *other}) > 1


def _pair_fault(code: str, places: Sequence[PlacedScene], pair: tuple[int, int], what: str) -> Fault:
    one, other = pair
    return Fault(code, f"Scenes {places[one]} and {places[other]} {what}.", _ONE_SPLIT, f"/scenes/{other}")


def _capped(found: Sequence[tuple[Any, ...]], fault: Callable[..., Fault]) -> list[Fault]:
    """The faults of what was found first, and how many more there are."""
    named = [fault(*item) for item in found[:_NAMED]]
    more = len(found) - len(named)
    return [*named, *(Fault(item.code, f"There are {more} more of these.", item.hint) for item in named[:1] if more)]


def _neighbours(places: Sequence[PlacedScene]) -> list[tuple[int, int]]:
    """Pairs of scenes whose boxes in degrees touch, wherever the date line is; the lower index first."""
    corners = np.array([[*p.grid.outline_wgs84.min(axis=0), *p.grid.outline_wgs84.max(axis=0)] for p in places])
    tree = shapely.STRtree(shapely.box(*corners.T))
    pairs = set[tuple[int, int]]()
    for turn in (-360, 0, 360):
        one, other = tree.query(shapely.box(*(corners + np.array([turn, 0, turn, 0])).T))
        pairs |= {(min(a, b), max(a, b)) for a, b in zip(one.tolist(), other.tolist(), strict=True) if a != b}
    return sorted(pairs)


def _overlap_px(one: Grid, other: Grid) -> float:
    """Pixels of `one` that `other` covers, fractions counted; 0 if they are no wider than a pixel or so."""
    x, y = transformer(other.crs, one.crs).transform(*other.outline().T)
    if one.crs.is_geographic:  # one of them may count beyond 180 degrees
        x = x + 360 * np.round((one.outline()[:, 0].mean() - x.mean()) / 360)
    outline = np.column_stack(one.pixels(x, y))
    if not np.isfinite(outline).all():
        return 0.0
    common = shapely.intersection(shapely.make_valid(shapely.polygons(outline)), shapely.box(0, 0, one.cols, one.rows))
    return 0.0 if shapely.is_empty(shapely.buffer(common, -_WIDER_PX / 2)) else float(common.area)


def _by_field(numbers: np.ndarray, layer: LayerFeatureCounts) -> np.ndarray:
    """Pixels of each field in each split, int64 (fields, splits)."""
    total = np.zeros((int(numbers.max()) + 1, len(SPLITS)), dtype=np.int64)
    np.add.at(total, numbers[: len(layer.pixels)], layer.pixels)
    return total


def _shared(by_field: np.ndarray) -> list[int]:
    """The fields with pixels in more than one split."""
    fields: list[int] = np.flatnonzero((by_field > 0).sum(axis=1) > 1).tolist()
    return fields


def _scene_of(truth: LabelLayer, layer: LayerFeatureCounts, field: int, split: int) -> int:
    """The number of a scene in which a field has pixels of a split."""
    numbers = truth.fields.numbers[: len(layer.pixels)] if truth.fields else np.zeros(0)
    seen = np.flatnonzero((numbers == field) & (layer.pixels[:, split] > 0))
    return int(layer.scene[seen[-1], split])
