"""Zones and areas by zone through HTTP, on both databases."""

import csv
import io
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pyogrio
import pyproj
import pytest
import shapely
from shapely.geometry import Polygon, mapping
from sqlalchemy import func, select

from app.services import Services
from app.settings import Settings
from app.tables import ZoneAreas
from tests.app.api.conftest import Perform, put
from tests.app.api.test_problems import assert_problem
from tests.app.api.test_tus import PIECE, metadata

FIELDS = {"code_field": "code", "name_field": "name", "parent_field": "in"}
LEFT, TOP = 500_000, 1_200_000  # of the scenes of tests, which have 64 x 64 px of 10 m
GEOD = pyproj.Geod(ellps="WGS84")


@pytest.fixture
def settings(trained: Settings) -> Settings:
    """A service that has a prediction, on both databases."""
    return trained


@pytest.fixture
def prediction(http: httpx.Client) -> str:
    """The id of the prediction."""
    found: str = http.get("/v1/predictions").json()["features"][0]["id"]
    return found


def px(left: float, top: float, right: float, bottom: float) -> Polygon:
    """A rectangle on the grid of the scene, in pixels."""
    found: Polygon = shapely.box(LEFT + 10 * left, TOP - 10 * bottom, LEFT + 10 * right, TOP - 10 * top)
    return found


def layer(path: Path, zones: Sequence[tuple[Polygon, dict[str, Any]]]) -> Path:
    features = [{"type": "Feature", "properties": known, "geometry": mapping(each)} for each, known in zones]
    crs = {"type": "name", "properties": {"name": "EPSG:32648"}}
    document = {"type": "FeatureCollection", "features": features, "crs": crs}
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return path


@pytest.fixture
def counties(tmp_path: Path) -> Path:
    """Two counties inside the scene, one half outside, and one far away."""
    known = (
        (px(0, 0, 32, 64), "450101", "=1+1"),
        (px(32, 0, 50.5, 64), "450102", "武鸣区"),
        (px(50.5, 0, 128, 64), "450103", "半"),
        (px(900, 900, 910, 910), "450104", "远"),
    )
    zones = [(each, {"code": code, "name": name, "in": "4501"}) for each, code, name in known]
    return layer(tmp_path / "counties.geojson", zones)


def areas(http: httpx.Client, prediction: str, **query: str) -> list[dict[str, Any]]:
    answer = http.get(f"/v1/predictions/{prediction}/areas", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def test_zones_are_uploaded_listed_read_and_deleted(http: httpx.Client, counties: Path) -> None:
    made = put(http, "/v1/zones/counties", counties, **FIELDS, title="县")
    assert (made.status_code, made.headers["location"]) == (201, "/v1/zones/counties")
    document = made.json()
    report = document["report"]
    assert (report["zones"], report["features"], report["crs"], report["kind"]) == (4, 4, "EPSG:32648", "geojson")
    assert report["unknown_parents"] == ["4501"] and report["overlaps"] == []
    assert document["options"] == FIELDS | {"crs": None, "layer": None} and document["title"] == "县"
    assert put(http, "/v1/zones/counties", counties, **FIELDS).status_code == 200
    for changed in ({"name_field": "code"}, {"crs": "EPSG:32649"}):
        other = put(http, "/v1/zones/counties", counties, **(FIELDS | changed))
        assert assert_problem(other, 409)["type"] == "name-taken"
    content, tag = counties.read_bytes(), made.headers["etag"]
    stale = {"If-Match": '"x"'}
    assert_problem(http.put("/v1/zones/counties", content=content, params=FIELDS, headers=stale), 412)
    assert_problem(http.patch("/v1/zones/counties", json={"title": "x"}, headers=stale), 412)
    assert_problem(http.delete("/v1/zones/counties", headers=stale), 412)
    assert http.put("/v1/zones/counties", content=content, params=FIELDS, headers={"If-Match": tag}).status_code == 200
    counties.write_text(counties.read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert assert_problem(put(http, "/v1/zones/counties", counties, **FIELDS), 409)["type"] == "name-taken"
    assert http.get("/v1/zones").json() == {"items": [document], "next": None}
    assert http.get("/v1/zones/counties").json() == document
    assert http.patch("/v1/zones/counties", json={"title": None}).json()["title"] is None
    assert http.delete("/v1/zones/counties").status_code == 204
    assert_problem(http.get("/v1/zones/counties"), 404)
    assert_problem(http.get("/v1/zones/counties/features"), 404)


def test_features_are_geojson_in_wgs84(http: httpx.Client, counties: Path, services: Services, tmp_path: Path) -> None:
    put(http, "/v1/zones/counties", counties, **FIELDS)
    answer = http.get("/v1/zones/counties/features")
    assert answer.headers["content-type"] == "application/geo+json"
    feature = answer.json()["features"][0]
    geometry, known = shapely.geometry.shape(feature["geometry"]), feature["properties"]
    assert {name: known[name] for name in ("code", "name", "parent")} == {
        "code": "450101",
        "name": "=1+1",
        "parent": "4501",
    }
    geodesic_m2, _ = GEOD.geometry_area_perimeter(shapely.segmentize(geometry, 0.0001))
    assert geodesic_m2 > 0, "outer rings run counter-clockwise"
    assert known["area_ha"] == pytest.approx(geodesic_m2 / 10_000, rel=1e-6)
    (tmp_path / "found.geojson").write_bytes(answer.content)
    assert pyogrio.read_info(tmp_path / "found.geojson")["features"] == 4
    part = http.get("/v1/zones/counties/features", headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, answer.content[:10])
    keys = list(services.store.keys("zones/"))
    assert len(keys) == 2
    assert http.delete("/v1/zones/counties").status_code == 204
    assert not list(services.store.keys("zones/"))


def test_areas_by_zone(http: httpx.Client, prediction: str, counties: Path) -> None:
    put(http, "/v1/zones/counties", counties, **FIELDS)
    rows = areas(http, prediction, zones="counties")
    assert [row["zone"] for row in rows] == ["450101", "450102", "450103", "450104"]
    assert {row["class"] for row in rows} == {"sugarcane"} and {row["parent"] for row in rows} == {"4501"}
    features = http.get("/v1/zones/counties/features").json()["features"]
    for row, feature in zip(rows, features, strict=True):
        whole_ha = row["observed_ha"] + row["unobserved_ha"]
        assert whole_ha == pytest.approx(feature["properties"]["area_ha"], rel=1e-8)
        assert row["why"] and row["indicative_ha"] is row["indicative_ci95_ha"] is row["adjusted_ha"] is None
    inside, narrow, half, far = rows
    assert inside["unobserved_ha"] == narrow["unobserved_ha"] == 0
    assert half["unobserved_ha"] == pytest.approx(half["observed_ha"] * 64 / 13.5, rel=1e-3)
    assert (far["observed_ha"], far["mapped_ha"], far["mapped_mu"]) == (0, None, None)
    assert "outside the scene" in far["why"]
    assert (far["applicability"], inside["applicability"]) == (None, "inside")
    (scene,) = areas(http, prediction)
    assert sum(row["observed_ha"] for row in rows) == pytest.approx(scene["observed_ha"], rel=1e-5)
    assert sum(row["mapped_ha"] or 0 for row in rows) == pytest.approx(scene["mapped_ha"], rel=1e-5)
    assert (scene["zone"], scene["indicative_ha"], scene["indicative_ci95_ha"]) == (
        None,
        scene["adjusted_ha"],
        scene["ci95_ha"],
    )
    assert "overlap_ha" not in scene


def test_spreadsheets_have_texts_and_no_formulas(
    http: httpx.Client, prediction: str, counties: Path, tmp_path: Path
) -> None:
    put(http, "/v1/zones/counties", counties, **FIELDS)
    url, rows = f"/v1/predictions/{prediction}/areas?zones=counties", areas(http, prediction, zones="counties")
    table = http.get(f"{url}&f=csv")
    assert table.content.startswith(b"\xef\xbb\xbf")
    lines = list(csv.DictReader(io.StringIO(table.text.removeprefix("\ufeff"))))
    assert [line["name"] for line in lines] == ["'=1+1", "武鸣区", "半", "远"]
    assert {(line["scene"], line["model"], line["prediction"]) for line in lines} == {("s1", "cane:1", prediction)}
    assert [line["mapped_ha"] for line in lines][3] == "" and lines[0]["overlap_ha"] == "0.0"
    (tmp_path / "areas.xlsx").write_bytes(http.get(f"{url}&f=xlsx").content)
    _, _, _, columns = pyogrio.raw.read(tmp_path / "areas.xlsx", read_geometry=False)
    meta = pyogrio.read_info(tmp_path / "areas.xlsx")
    found = dict(zip(meta["fields"].tolist(), columns, strict=True))
    assert found["zone"].tolist() == [row["zone"] for row in rows], "codes are texts"
    assert found["name"].tolist() == [row["name"] for row in rows]
    assert found["mapped_ha"].tolist()[:3] == [round(row["mapped_ha"], 4) for row in rows[:3]]
    (tmp_path / "zh.xlsx").write_bytes(http.get(f"{url}&f=xlsx&lang=zh").content)
    assert "制图面积（公顷）" in pyogrio.read_info(tmp_path / "zh.xlsx")["fields"]
    places = http.get(f"{url}&f=geojson").json()["features"]
    outlines = http.get("/v1/zones/counties/features").json()["features"]
    assert [each["geometry"] for each in places] == [each["geometry"] for each in outlines]
    assert [each["properties"] for each in places] == rows


def test_areas_are_measured_once_and_forgotten_with_the_zones(
    http: httpx.Client, prediction: str, counties: Path, services: Services, tmp_path: Path
) -> None:
    put(http, "/v1/zones/counties", counties, **FIELDS)
    asked = [threading.Thread(target=areas, args=(http, prediction), kwargs={"zones": "counties"}) for _ in range(4)]
    for each in asked:
        each.start()
    for each in asked:
        each.join()
    with services.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ZoneAreas)) == 1
    first = areas(http, prediction, zones="counties")
    assert http.delete("/v1/zones/counties").status_code == 204
    other = layer(tmp_path / "other.geojson", [(px(0, 0, 64, 64), {"code": "450101", "name": "全", "in": None})])
    put(http, "/v1/zones/counties", other, **FIELDS)
    (row,) = areas(http, prediction, zones="counties")
    assert row["observed_ha"] == pytest.approx(sum(each["observed_ha"] for each in first), rel=1e-9)
    assert http.delete(f"/v1/predictions/{prediction}").status_code == 204
    with services.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ZoneAreas)) == 0


def test_a_map_sheet_shows_the_zones(http: httpx.Client, prediction: str, counties: Path) -> None:
    http.put("/v1/zones/counties?code_field=code&name_field=name", content=counties.read_bytes())
    sheet = f"/v1/predictions/{prediction}/sheet.png"
    pages = [
        http.get(sheet, params=asked) for asked in ({}, {"zones": "counties"}, {"zones": "counties", "lang": "zh"})
    ]
    assert [page.status_code for page in pages] == [200, 200, 200], pages[-1].text
    assert len({page.content for page in pages}) == 3
    assert http.get(sheet, params={"zones": "none"}).json()["type"] == "unknown-zones"


def test_double_counted_ground_is_told_in_the_report_and_in_every_row(
    http: httpx.Client, prediction: str, tmp_path: Path
) -> None:
    known = (("1", px(0, 0, 64, 64), None), ("11", px(0, 0, 40, 64), "1"), ("12", px(30, 0, 64, 64), "1"))
    zones = layer(tmp_path / "z.geojson", [(each, {"code": code, "name": code, "in": up}) for code, each, up in known])
    report = put(http, "/v1/zones/nested", zones, **FIELDS).json()["report"]
    (overlap,) = report["overlaps"]
    assert overlap["zones"] == ["11", "12"] and overlap["area_ha"] == pytest.approx(6.4, rel=2e-3)
    assert "overlapping_zones" in {note["code"] for note in report["warnings"]}
    rows = areas(http, prediction, zones="nested")
    assert [row["overlap_ha"] for row in rows] == [0, overlap["area_ha"], overlap["area_ha"]]


@pytest.mark.parametrize(
    ("zones", "query", "code", "detail"),
    [
        ([("1", "a"), ("1", "b")], FIELDS, "duplicate_code", "Features 1, 2 have the code '1'"),
        ([("1", "a"), (None, "b"), ("  ", "c")], FIELDS, "missing_code", "Feature 2 has no code."),
        ([("1", "a")], {"name_field": "name"}, "no_code_field", "No attribute was named"),
        ([("1", "a")], {"code_field": "kode"}, "missing_code_field", "no attribute 'kode'"),
        ([("1\n2", "a")], FIELDS, "bad_zone_text", "code of feature 1"),
    ],
)
def test_ambiguous_zones_are_refused(
    http: httpx.Client,
    tmp_path: Path,
    zones: list[tuple[str | None, str]],
    query: dict[str, str],
    code: str,
    detail: str,
) -> None:
    given = [
        (px(number, 0, number + 1, 1), {"code": each, "name": name, "in": None})
        for number, (each, name) in enumerate(zones)
    ]
    problem = assert_problem(put(http, "/v1/zones/bad", layer(tmp_path / "bad.geojson", given), **query), 422)
    assert problem["errors"][0]["code"] == code and detail in problem["errors"][0]["detail"]
    assert_problem(http.get("/v1/zones/bad"), 404)


def test_a_raster_holds_no_zones(http: httpx.Client, mask: Path) -> None:
    assert assert_problem(put(http, "/v1/zones/x", mask, code_field="a"), 422)["errors"][0]["code"] == "no_polygons"


def test_unknown_zones_and_a_prediction_without_a_map_are_told(
    http: httpx.Client, prediction: str, counties: Path, do: Any
) -> None:
    unknown = http.get(f"/v1/predictions/{prediction}/areas?zones=nosuch")
    assert assert_problem(unknown, 422)["errors"][0]["pointer"] == "query:zones"
    put(http, "/v1/zones/counties", counties, **FIELDS)
    body = {"scene": "s1", "model": "cane", "config": {"outputs": ["probability"]}}
    without = http.post("/v1/predictions", json=body).json()["id"]
    assert_problem(http.get(f"/v1/predictions/{without}/areas?zones=counties"), 404)
    do(without)
    refused = assert_problem(http.get(f"/v1/predictions/{without}/areas?zones=counties"), 404)
    assert refused["errors"][0]["code"] == "no_map"


def test_an_upload_in_pieces_becomes_zones(http: httpx.Client, counties: Path) -> None:
    content = counties.read_bytes()
    told = metadata(kind="zones", filename="counties.geojson", **FIELDS)
    made = http.post("/v1/uploads", content=content, headers=PIECE | {"Upload-Length": str(len(content))} | told)
    assert (made.status_code, made.headers["content-location"]) == (201, "/v1/zones/counties")
    form = http.post("/v1/zones", data=FIELDS, files={"file": ("县.geojson", content)})
    assert form.status_code == 201 and form.json()["title"] == "县.geojson"


def test_polygons_are_cut_at_the_borders_of_zones_and_add_up(
    http: httpx.Client, do: Perform, counties: Path, tmp_path: Path
) -> None:
    assert put(http, "/v1/zones/counties", counties, **FIELDS).status_code == 201
    config = {"outputs": ["classes", "polygons"], "mmu_ha": 0, "min_area_ha": 0, "simplify_m": None, "threshold": 0.01}
    id_ = http.post("/v1/predictions", json={"scene": "s2", "model": "cane:1", "config": config}).json()["id"]
    path = f"/v1/predictions/{id_}/zoned-polygons"
    assert_problem(http.get(f"{path}.gpkg?zones=counties"), 404)
    do(id_)
    answers = {f: http.get(f"{path}.{f}", params={"zones": "counties"}) for f in ("gpkg", "geojson")}
    assert [answer.status_code for answer in answers.values()] == [200, 200], answers["gpkg"].text
    assert "counties-polygons.gpkg" in answers["gpkg"].headers["content-disposition"]
    (tmp_path / "cut.gpkg").write_bytes(answers["gpkg"].content)
    table = pyogrio.raw.read(tmp_path / "cut.gpkg", layer="classes")
    columns = dict(zip(table[0]["fields"], table[3], strict=True))
    features = answers["geojson"].json()["features"]
    in_geojson = [each["properties"] for each in features]
    assert sorted(columns["area_ha"]) == pytest.approx(sorted(each["area_ha"] for each in in_geojson), abs=1e-6)
    mapped = {row["zone"]: row["mapped_ha"] for row in areas(http, id_, zones="counties") if row["mapped_ha"]}
    assert mapped and set(mapped) == {each["zone"] for each in in_geojson}
    for code, mapped_ha in mapped.items():
        found = sum(each["area_ha"] for each in in_geojson if each["zone"] == code)
        assert found == pytest.approx(mapped_ha, abs=1e-4), code
    assert {each["zone_name"] for each in in_geojson if each["zone"] == "450102"} <= {"武鸣区"}
    assert assert_problem(http.get(f"{path}.gpkg?zones=none"), 422)["type"] == "unknown-zones"
    assert_problem(http.get(f"{path}.gpkg"), 422)
    plain = http.get("/v1/predictions").json()["features"][-1]["id"]
    with_hint = http.get(f"/v1/predictions/{plain}/zoned-polygons.shp", params={"zones": "counties"})
    assert with_hint.status_code == 422
