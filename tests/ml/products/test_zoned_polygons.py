"""Polygons are cut at the borders of zones, and their pieces add up."""

import json
import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine

from ml.contract import BINARY
from ml.products.polygon_files import write_polygons
from ml.products.zoned_polygons import write_zoned_polygons
from ml.zones.areas import classes_by_zone
from ml.zones.read import ZoneOptions, Zones
from tests.ml.conftest import write_scene

OPTIONS = ZoneOptions(code_field="code", name_field="name", parent_field="in")
FIJI = Affine(10, 0, 819_000, 0, -10, 8_150_000)  # about the meridian of 180 degrees, in zone 60 of UTM


def zones_file(path: Path, boxes: dict[str, tuple[float, float, float, float]], inner: str = "") -> Zones:
    """Zones on the grid of the map, in pixels; those whose code begins with `inner` are parts of the first one."""
    found = []
    for code, (left, top, right, bottom) in boxes.items():
        box = shapely.box(500_000 + 10 * left, 1_200_000 - 10 * bottom, 500_000 + 10 * right, 1_200_000 - 10 * top)
        parent = next(iter(boxes)) if inner and code.startswith(inner) else None
        found.append((box, {"code": code, "name": f"县{code}", "in": parent}))
    features = [
        {"type": "Feature", "properties": known, "geometry": shapely.geometry.mapping(each)} for each, known in found
    ]
    crs = {"type": "name", "properties": {"name": "EPSG:32648"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features, "crs": crs}), encoding="utf-8")
    return Zones(path, OPTIONS)


@pytest.fixture
def map_(tmp_path: Path) -> Path:
    """A class map of patches of 8 x 8 pixels, some without data."""
    small = np.random.default_rng(3).choice([0, 1, 255], (15, 12), p=[0.45, 0.45, 0.1]).astype(np.uint8)
    return write_scene(tmp_path / "classes.tif", np.kron(small, np.ones((8, 8), np.uint8))[None], nodata=255)


def cut(map_: Path, zones: Zones, name: str, simplify_m: float | None = None) -> list[tuple[str | None, float]]:
    """The zone and the hectares of each piece in the file with this name."""
    folder = map_.parent
    whole = folder / "polygons.gpkg"
    write_polygons(map_, BINARY, folder / "whole.geojson", whole, min_area_ha=0, simplify_m=simplify_m)
    made = write_zoned_polygons(whole, map_, BINARY, zones, folder / name)
    if name.endswith("geojson"):
        features = json.loads((folder / name).read_text(encoding="utf-8"))["features"]
        rows = [(each["properties"]["zone"], each["properties"]["area_ha"]) for each in features]
    else:
        with closing(sqlite3.connect(folder / name)) as connection:
            rows = connection.execute("SELECT zone, area_ha FROM classes").fetchall()
    assert len(rows) == made.count
    return rows


def by_zone(rows: list[tuple[str | None, float]]) -> dict[str | None, float]:
    total: dict[str | None, float] = defaultdict(float)
    for zone, area_ha in rows:
        total[zone] += area_ha
    return total


COUNTIES = {"a": (-5, -5, 40.3, 60.7), "b": (40.3, -5, 70, 60.7), "c": (-5, 60.7, 70, 130), "far": (900, 0, 910, 10)}


@pytest.mark.parametrize("name", ["zoned.gpkg", "zoned.geojson"])
def test_the_pieces_of_each_zone_have_the_hectares_that_the_map_has_there(
    map_: Path, tmp_path: Path, name: str
) -> None:
    zones = zones_file(tmp_path / "z.geojson", COUNTIES)
    found = by_zone(cut(map_, zones, name))
    measured = classes_by_zone(map_, zones).by_code
    assert set(found) == {"a", "b", "c", None}
    for code in ("a", "b", "c"):
        assert found[code] == pytest.approx(measured[code][1], abs=1e-4), code
    assert sum(found.values()) == pytest.approx(whole_ha(map_), abs=1e-4)


def whole_ha(map_: Path) -> float:
    with closing(sqlite3.connect(map_.parent / "polygons.gpkg")) as connection:
        return float(connection.execute("SELECT sum(area_ha) FROM classes").fetchone()[0])


def test_simplified_polygons_add_up_and_pieces_do_not_overlap(map_: Path, tmp_path: Path) -> None:
    zones = zones_file(tmp_path / "z.geojson", COUNTIES)
    found = by_zone(cut(map_, zones, "zoned.geojson", simplify_m=15.0))
    assert sum(found.values()) == pytest.approx(whole_ha(map_), abs=1e-4)
    features = json.loads((tmp_path / "zoned.geojson").read_text(encoding="utf-8"))["features"]
    shapes = np.array([shapely.geometry.shape(each["geometry"]) for each in features])
    assert shapely.union_all(shapes).area == pytest.approx(shapely.area(shapes).sum(), rel=1e-6)
    assert {each["properties"]["zone_name"] for each in features} == {"县a", "县b", "县c", None}


def test_of_nested_zones_the_innermost_counts_and_of_overlapping_ones_the_first(map_: Path, tmp_path: Path) -> None:
    nested = zones_file(tmp_path / "n.geojson", {"city": (0, 0, 96, 120), "t1": (0, 0, 30.5, 120)}, inner="t")
    found = by_zone(cut(map_, nested, "zoned.gpkg"))
    measured = classes_by_zone(map_, nested).by_code
    assert found["t1"] == pytest.approx(measured["t1"][1], abs=1e-4)
    assert found["t1"] + found["city"] == pytest.approx(measured["city"][1], abs=1e-4) and None not in found
    overlapping = zones_file(tmp_path / "o.geojson", {"one": (0, 0, 50, 120), "two": (40, 0, 96, 120)})
    found = by_zone(cut(map_, overlapping, "zoned.gpkg"))
    measured = classes_by_zone(map_, overlapping).by_code
    assert found["one"] == pytest.approx(measured["one"][1], abs=1e-4)
    assert found["one"] + found["two"] == pytest.approx(whole_ha(map_), abs=1e-4)


def test_zones_in_degrees_on_either_side_of_the_date_line(tmp_path: Path) -> None:
    small = np.random.default_rng(4).choice([0, 1], (10, 10)).astype(np.uint8)
    image = np.kron(small, np.ones((10, 10), np.uint8))[None]
    map_ = write_scene(tmp_path / "classes.tif", image, "EPSG:32760", FIJI, nodata=255)
    boxes = {"west": shapely.box(179.9, -16.9, 180, -16.5), "east": shapely.box(-180, -16.9, -179.8, -16.5)}
    path = tmp_path / "z.geojson"
    features = [
        {"type": "Feature", "properties": {"code": code}, "geometry": shapely.geometry.mapping(box)}
        for code, box in boxes.items()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    zones = Zones(path, ZoneOptions(code_field="code"))
    found = by_zone(cut(map_, zones, "zoned.gpkg"))
    measured = classes_by_zone(map_, zones).by_code
    assert set(found) == set(measured) == set(boxes)
    for code, classes in measured.items():
        assert found[code] == pytest.approx(classes[1], abs=1e-4)
