"""The change between two mosaics, against counts of pixels of known area."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine

from ml.contract import MAP_NODATA, ClassDef
from ml.faults import InputRefused
from ml.surveys.change import change_of, transitions
from ml.zones.read import ZoneOptions, Zones
from tests.ml.conftest import write_scene
from tests.ml.labels.layers import geojson

NAMES = ("other", "sugarcane", "rice")
LATER = tuple(ClassDef(value=value, name=name) for value, name in enumerate(NAMES))
EARLIER = tuple(ClassDef(value=value, name=name) for value, name in zip((7, 0, 3), NAMES, strict=True))
CRS, GRID = "EPSG:6933", Affine(100, 0, 10_400_000, 0, -100, 2_900_000)  # equal areas: each pixel is a hectare


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path, np.ndarray, np.ndarray]:
    """Two mosaics that overlap by half, their paths, and their classes (by name) on the ground of both."""
    rng = np.random.default_rng(1)
    before, after = (rng.choice([0, 1, 2, MAP_NODATA], (80, 60), p=[0.5, 0.3, 0.1, 0.1]) for _ in range(2))
    values = np.array([7, 0, 3])
    coded = np.where(before == MAP_NODATA, MAP_NODATA, values[np.minimum(before, 2)]).astype(np.uint8)
    paths = (
        write_scene(tmp_path / "before.tif", coded[None], CRS, GRID, nodata=MAP_NODATA),
        write_scene(
            tmp_path / "after.tif",
            after.astype(np.uint8)[None],
            CRS,
            GRID @ Affine.translation(30, 0),
            nodata=MAP_NODATA,
        ),
    )
    ground = [np.full((80, 90), MAP_NODATA) for _ in range(2)]
    ground[0][:, :60], ground[1][:, 30:] = before, after
    return *paths, ground[0], ground[1]


def counts(was: np.ndarray, is_: np.ndarray, index: int) -> list[int]:
    both = (was != MAP_NODATA) & (is_ != MAP_NODATA)
    return [
        int(found.sum())
        for found in (
            both & (was != index) & (is_ == index),
            both & (was == index) & (is_ != index),
            both & (was == index),
            both & (is_ == index),
            both,
            (was != MAP_NODATA) & (is_ == MAP_NODATA),
            (was == MAP_NODATA) & (is_ != MAP_NODATA),
        )
    ]


def test_gain_and_loss_are_counted_where_both_have_observed_the_ground(
    two: tuple[Path, Path, np.ndarray, np.ndarray],
) -> None:
    earlier, later, was, is_ = two
    found = transitions(earlier, later, (EARLIER, LATER)).whole or {}
    for index in range(3):
        change = change_of(found, index)
        assert list(vars(change).values()) == pytest.approx(counts(was, is_, index), rel=1e-7)
        assert change.net_ha == pytest.approx(change.later_ha - change.earlier_ha, abs=1e-9)


def test_zones_that_tile_both_mosaics_have_their_change_together(
    tmp_path: Path, two: tuple[Path, Path, np.ndarray, np.ndarray]
) -> None:
    earlier, later, was, is_ = two
    left, top = GRID.c, GRID.f
    cuts = [0, 1234.5, 5678.9, 9000]
    stripes = [(shapely.box(left + a, top - 8000, left + b, top), {"code": str(a)}) for a, b in pairwise(cuts)]
    zones = Zones(geojson(tmp_path / "z.geojson", stripes, CRS), ZoneOptions(code_field="code"))
    found = transitions(earlier, later, (EARLIER, LATER), zones).by_zone
    assert found is not None and len(found.zones) == 3
    for index in range(3):
        changes = [list(vars(change_of(each.area_ha, index)).values()) for each in found.zones]
        assert np.sum(changes, axis=0) == pytest.approx(counts(was, is_, index), rel=1e-7)


def test_maps_of_other_classes_are_not_compared(two: tuple[Path, Path, np.ndarray, np.ndarray]) -> None:
    with pytest.raises(InputRefused, match="other classes"):
        transitions(two[0], two[1], (LATER[:2], LATER))
