"""Strata by class and zone: what is drawn, how many points each zone needs, and what is refused."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ml.faults import InputRefused
from ml.sampling.design import Design, DrawnSample, SamplePoint
from ml.sampling.plan import ErrorRates
from ml.sampling.sample import draw_sample
from ml.zones.read import Zones
from tests.ml.sampling.maps import CLASSES, COLS, ROWS, confusion, make_truth, with_errors, write_map
from tests.ml.zones.test_numbering import BOX, zones_of

TRUTH = make_truth()
IMAGE = with_errors(TRUTH)
RATES = ErrorRates(confusion(TRUTH, IMAGE))
WEST, EAST = (0, 0, 400, ROWS), (400, 0, 1000, ROWS)
BY_ZONE = {"strata": "class_x_zone", "min_per_stratum": 20}


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_map(tmp_path_factory.mktemp("map") / "classes.tif", IMAGE)


def layer(folder: Path, **boxes: BOX) -> Zones:
    return zones_of(folder, {code: (None, box) for code, box in boxes.items()})


def drawn(classes: Path, zones: Zones, **design: object) -> tuple[DrawnSample, Sequence[SamplePoint]]:
    return draw_sample(classes, CLASSES, Design.model_validate({**BY_ZONE, **design}), RATES, zones=zones)


def test_each_class_of_each_zone_has_points_of_its_own(classes: Path, tmp_path: Path) -> None:
    zones = layer(tmp_path, west=WEST, east=EAST, speck=(1050, 0, 1051, 2))
    sample, points = drawn(classes, zones, n=300)
    assert [(each.key, each.zone) for each in sample.strata] == [
        ("/0", None), ("/1", None), ("west/0", "west"), ("west/1", "west"), ("east/0", "east"), ("east/1", "east"),
    ]  # fmt: skip
    assert sample.strata[2].name == "west: other"
    assert sum(each.n for each in sample.strata) == len(points) == 300
    assert sum(each.pixels for each in sample.strata) == sample.frame.pixels
    assert sum(each.area_ha for each in sample.strata) == pytest.approx(sample.frame.area_ha)
    for stratum in sample.strata:
        found = [point for point in points if point.stratum == stratum.key]
        assert len(found) == stratum.n >= 20
        assert {point.map_class for point in found} == {int(stratum.key[-1])}
        west, east = {"west": (0, 400), "east": (400, 1000), None: (1000, COLS)}[stratum.zone]
        assert all(west <= point.col < east for point in found)
        there = IMAGE[:, west:east] == int(stratum.key[-1])
        assert stratum.pixels == there.sum()
    assert [note.code for note in sample.notes] == ["merged_strata"]
    assert "speck: other (2)" in sample.notes[0].detail
    assert drawn(classes, zones, n=300)[1] == points, "again the same"
    moved = layer(tmp_path, west=WEST, east=(401, 0, 1000, ROWS))
    assert drawn(classes, moved, n=300)[0].frame.sha256 != sample.frame.sha256


def test_a_target_is_that_of_each_zone(classes: Path, tmp_path: Path) -> None:
    zones = layer(tmp_path, west=WEST, east=EAST)
    sample, _ = drawn(classes, zones, target_cv=0.1, allocation="neyman")
    cane = {row.zone: row.cv for row in sample.expected if row.class_name == CLASSES[1].name}
    assert set(cane) == {None, "west", "east"}
    for code in ("west", "east"):
        assert 0.095 < (cane[code] or 0) <= 0.1
    assert (cane[None] or 0) < 0.1
    outside = [each.n for each in sample.strata if each.zone is None]
    assert outside == [20, 20], "ground outside has no target"


def test_zones_out_of_reach_are_named(classes: Path, tmp_path: Path) -> None:
    zones = layer(tmp_path, west=WEST, east=EAST)
    with pytest.raises(InputRefused) as refused:
        drawn(classes, zones, target_cv=0.001)
    assert [fault.code for fault in refused.value.faults] == ["target_out_of_reach"] * 2
    assert [name in fault.detail for name, fault in zip(("west", "east"), refused.value.faults, strict=True)] == [
        True
    ] * 2


def test_few_points_for_many_strata_are_refused_before_anyone_goes_to_the_field(classes: Path, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="100 points are too few for 6 strata, which need 120 together"):
        drawn(classes, layer(tmp_path, west=WEST, east=EAST), n=100)


def test_zones_beside_the_map_are_refused(classes: Path, tmp_path: Path) -> None:
    with pytest.raises(InputRefused) as refused:
        drawn(classes, layer(tmp_path, far=(9000, 0, 9100, 50)), n=100)
    assert [fault.code for fault in refused.value.faults] == ["no_zones_here"]


def test_zones_that_overlap_are_told(classes: Path, tmp_path: Path) -> None:
    sample, _ = drawn(classes, layer(tmp_path, west=WEST, east=(300, 0, 1000, ROWS)), n=300)
    lost = int(np.isin(IMAGE[:, 300:400], (0, 1)).sum())
    assert [note.code for note in sample.notes] == ["zones_overlap"]
    assert f"{lost} pixels" in sample.notes[0].detail
    east = sum(each.pixels for each in sample.strata if each.zone == "east")
    assert east == np.isin(IMAGE[:, 400:1000], (0, 1)).sum()


def test_a_class_of_one_pixel_needs_no_point_of_its_own(tmp_path: Path) -> None:
    image = np.zeros((40, 40), np.uint8)
    image[7, 7] = 1
    path = write_map(tmp_path / "rare.tif", image)
    sample, points = draw_sample(path, CLASSES, Design(n=50), ErrorRates(why="It was not scored."))
    assert [(each.key, each.pixels, each.n) for each in sample.strata] == [("0+1", 1600, 50)]
    assert {point.stratum for point in points} == {"0+1"}
    assert [note.code for note in sample.notes] == ["merged_strata"]
