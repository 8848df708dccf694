"""Other programs read the points of a sample in every format, and none tells what the map says unless asked."""

import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import shapely

from ml.contract import ClassDef
from ml.sampling.design import DrawnSample, Frame, SamplePoint, Stratum
from ml.sampling.point_files import as_csv, as_geojson, as_kml, point_rows, write_gpkg
from tests.ml.labels.oracle import Oracle

CLASSES = (ClassDef(value=0, name="other"), ClassDef(value=1, name="=甘蔗 & <b>"))
FRAME = Frame(sha256="0" * 64, pixels=9, area_ha=1, classes=CLASSES, class_area_ha={0: 1}, class_pixels={0: 9})
STRATA = (
    Stratum(key="0", name="other", pixels=8, area_ha=0.9, n=1, inclusion=0.125),
    Stratum(key="1", name="cane", pixels=1, area_ha=0.1, n=1, inclusion=1.0),
)
SAMPLE = DrawnSample(frame=FRAME, strata=STRATA)
POINTS = (
    SamplePoint(id=1, lon=108.1234567, lat=23.5, row=3, col=4, stratum="1", map_class=1, in_training=True),
    SamplePoint(id=2, lon=-7.25, lat=-8.125, row=5, col=6, stratum="0", map_class=0, in_training=None),
)
TOLD = {"map_class": "=甘蔗 & <b>", "stratum": "1", "inclusion": 1.0}


@pytest.mark.parametrize("map_class", [False, True])
def test_each_format_has_the_same_points(tmp_path: Path, map_class: bool) -> None:
    rows = point_rows(SAMPLE, POINTS, map_class=map_class)
    plain = {"id": 1, "lon": 108.1234567, "lat": 23.5, "row": 3, "col": 4, "in_training": True}
    assert rows[0] == plain | (TOLD if map_class else {})
    (tmp_path / "points.geojson").write_text(as_geojson(rows), encoding="utf-8")
    (tmp_path / "points.kml").write_text(as_kml(rows, "广西 & <x>"), encoding="utf-8")
    write_gpkg(rows, tmp_path / "points.gpkg")
    with Oracle() as oracle:
        for name in ("points.geojson", "points.kml", "points.gpkg"):
            answer = oracle.ask(path=str(tmp_path / name), layer=None)
            places = [shapely.from_wkb(wkb).coords[0][:2] for wkb in answer["wkb"]]
            assert places == [pytest.approx((108.1234567, 23.5)), pytest.approx((-7.25, -8.125))], name
            columns = answer["columns"]
            assert [int(value) for value in columns["Name" if name.endswith("kml") else "id"]] == [
                1,
                2,
            ]
            assert ("map_class" in columns) == ("stratum" in columns) == ("inclusion" in columns) == map_class, name
            assert answer["crs"] == "EPSG:4326", name
    read = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert [row["id"] for row in read] == ["1", "2"] and {row["class"] for row in read} == {""}
    assert not map_class or read[0]["map_class"] == "'=甘蔗 & <b>", "no spreadsheet computes it"
    assert json.loads(as_geojson(rows))["features"][1]["properties"]["unusable"] is None
    assert ElementTree.parse(tmp_path / "points.kml").getroot().tag == "{http://www.opengis.net/kml/2.2}kml"
