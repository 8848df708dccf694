"""Leaks between splits: what a net learns from one split and is scored on in another.

There are three kinds: scenes that cover the same ground, scenes that hold the same pixels wherever their files place
them, and fields that are labelled in two splits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from ml.datasets.feature_counts import FeatureCounts, LayerFeatureCounts
from ml.datasets.fingerprints import ONE_IN, Prints, shared_prints
from ml.datasets.splits import NO_SPLIT, SPLITS
from ml.faults import Fault
from ml.geo.crs import transformer, turned
from ml.geo.grid import Grid
from ml.labels.layers import LabelLayer

_NAMED = 7  # faults listed of each kind: nobody reads more than about twenty in all
_WIDER_PX = 1.5  # an overlap must be wider than this: the edges of neighbouring scenes may not meet exactly
_FEWEST_PRINTS = 3
_ONE_SPLIT = "Put both into the same split, or leave one of them out."
_ONE_SPLIT_A_FIELD = (
    "Put all scenes of a field into one split, or set leaks to drop: each field then stays labelled only in the split"
    " that has most of it. If one polygon is many fields dissolved together, upload each field as a polygon."
)


@dataclass(frozen=True)
class PlacedScene:
    """A scene, where it lies, and the splits that have a part of it, as indices into SPLITS."""

    name: str
    grid: Grid
    splits: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name!r} ({', '.join(SPLITS[index] for index in self.splits)})"


def overlapping_scenes(places: Sequence[PlacedScene]) -> list[Fault]:
    """leak_overlapping_scenes: Scenes of different splits whose overlap is wider than 1.5 pixels."""
    pairs = [pair for pair in _neighbours(places) if _may_leak(places, pair)]
    found = [(pair, pixels) for pair in pairs if (pixels := _overlap_px(*(places[index].grid for index in pair)))]

    def fault(pair: tuple[int, int], pixels: float) -> Fault:
        share = pixels / (places[pair[0]].grid.rows * places[pair[0]].grid.cols)
        one, other = (places[index] for index in pair)
        detail = f"Scenes {one} and {other} overlap by {pixels:,.0f} pixels, {share:.2%} of the first."
        return Fault("leak_overlapping_scenes", detail, _ONE_SPLIT, f"/scenes/{pair[1]}")

    return _capped(found, fault)


def duplicate_pixels(places: Sequence[PlacedScene], prints: Sequence[Prints]) -> list[Fault]:
    """leak_duplicate_pixels: Scenes of different splits that share at least 3 fingerprints."""
    shared = sorted(shared_prints(prints).items())
    found = [(pair, count) for pair, count in shared if count >= _FEWEST_PRINTS and _may_leak(places, pair)]

    def fault(pair: tuple[int, int], count: int) -> Fault:
        one, other = (places[index] for index in pair)
        held = f"the same pixels, about {count * ONE_IN:,} of them ({count} fingerprints)"
        detail = f"Scenes {one} and {other} hold {held}."
        return Fault("leak_duplicate_pixels", detail, _ONE_SPLIT, f"/scenes/{pair[1]}")

    return _capped(found, fault)


def shared_fields(
    places: Sequence[PlacedScene], layers: Sequence[LabelLayer], feature_counts: FeatureCounts
) -> list[Fault]:
    """leak_shared_fields: Fields with labelled pixels in two splits or more."""
    pixels = [
        _by_field(layer.fields.numbers, counts) if layer.fields else np.zeros((0, len(SPLITS)))
        for layer, counts in zip(layers, feature_counts.layers, strict=True)
    ]
    found = [(number, field) for number, by_field in enumerate(pixels) for field in _shared(by_field)]

    def fault(number: int, field: int) -> Fault:
        layer, counts, by_split = layers[number], feature_counts.layers[number], pixels[number][field]
        there = ", ".join(
            f"{by_split[split]} px in {SPLITS[split]} ({places[_scene_of(layer, counts, field, split)].name})"
            for split in np.flatnonzero(by_split).tolist()
        )
        name = layer.fields.names[field] if layer.fields else ""
        detail = f"One field ({name} of {layer.name!r}) has {there}."
        return Fault("leak_shared_fields", detail, _ONE_SPLIT_A_FIELD, f"/labels/{number}")

    return _capped(found, fault)


def drop_shared_fields(layers: Sequence[LabelLayer], feature_counts: FeatureCounts) -> list[np.ndarray]:
    """Keep each field only in the split that has most of its pixels, and set its counts in the other splits to 0.

    Returns:
        For each layer, the only split in which each feature may be labelled, int8 (features,); -1 allows any split.
    """
    only = []
    for layer, counts in zip(layers, feature_counts.layers, strict=True):
        owner = np.full(len(layer.legend.names), NO_SPLIT, dtype=np.int8)
        if layer.fields:
            pixels = _by_field(layer.fields.numbers, counts)
            owners = np.full(len(pixels), NO_SPLIT, dtype=np.int8)
            owners[_shared(pixels)] = pixels[_shared(pixels)].argmax(axis=1)
            owner = owners[layer.fields.numbers]
            bound = owner[: len(counts.pixels), None]
            counts.pixels[(bound != NO_SPLIT) & (bound != np.arange(len(SPLITS)))] = 0
        only.append(owner)
    return only


def _may_leak(places: Sequence[PlacedScene], pair: tuple[int, int]) -> bool:
    one, other = (places[index].splits for index in pair)
    return bool(one and other) and len({*one, *other}) > 1


def _capped(found: Sequence[tuple[Any, ...]], fault: Callable[..., Fault]) -> list[Fault]:
    """The faults of the first `_NAMED` items of `found`, and one more fault that says how many items are left."""
    named = [fault(*item) for item in found[:_NAMED]]
    more = len(found) - len(named)
    return [*named, *(Fault(item.code, f"There are {more} more of these.", item.hint) for item in named[:1] if more)]


def _neighbours(places: Sequence[PlacedScene]) -> list[tuple[int, int]]:
    """Pairs of scenes whose bounding boxes in degrees touch, also across the date line; the lower index first."""
    corners = np.array([[*p.grid.outline_wgs84.min(axis=0), *p.grid.outline_wgs84.max(axis=0)] for p in places])
    tree = shapely.STRtree(shapely.box(*corners.T))
    pairs = set[tuple[int, int]]()
    for turn in (-360, 0, 360):
        one, other = tree.query(shapely.box(*(corners + np.array([turn, 0, turn, 0])).T))
        pairs |= {(min(a, b), max(a, b)) for a, b in zip(one.tolist(), other.tolist(), strict=True) if a != b}
    return sorted(pairs)


def _overlap_px(one: Grid, other: Grid) -> float:
    """Pixels of `one` that `other` covers, with fractions; 0 if the overlap is nowhere wider than 1.5 pixels."""
    x, y = transformer(other.crs, one.crs, other.bbox()).transform(*other.outline().T)
    x = turned(one.crs, x, float(np.mean(one.bounds[::2])))  # one of them may lie beyond 180 degrees
    outline = np.column_stack(one.pixels(x, y))
    if not np.isfinite(outline).all():
        return 0.0
    common = shapely.intersection(shapely.make_valid(shapely.polygons(outline)), shapely.box(0, 0, one.cols, one.rows))
    return 0.0 if shapely.is_empty(shapely.buffer(common, -_WIDER_PX / 2)) else float(common.area)


def _by_field(numbers: np.ndarray, counts: LayerFeatureCounts) -> np.ndarray:
    """Pixels of each field in each split, int64 (fields, splits)."""
    total = np.zeros((int(numbers.max()) + 1, len(SPLITS)), dtype=np.int64)
    np.add.at(total, numbers[: len(counts.pixels)], counts.pixels)
    return total


def _shared(by_field: np.ndarray) -> list[int]:
    """The fields with pixels in more than one split."""
    fields: list[int] = np.flatnonzero((by_field > 0).sum(axis=1) > 1).tolist()
    return fields


def _scene_of(layer: LabelLayer, counts: LayerFeatureCounts, field: int, split: int) -> int:
    """The index of a scene in which a field has pixels of a split."""
    numbers = layer.fields.numbers[: len(counts.pixels)] if layer.fields else np.zeros(0)
    features = np.flatnonzero((numbers == field) & (counts.pixels[:, split] > 0))
    return int(counts.scene[features[-1], split])
