"""Samples in zones: zones are domains of the sample, and add up to the whole."""

import io
from pathlib import Path
from zipfile import ZipFile

import httpx
import numpy as np
import pytest
from sqlalchemy import func, select

from app.services import Services
from app.tables import SampleZones
from ml.estimation.estimate import estimate
from ml.estimation.sample import Points, Sample, Strata
from ml.estimation.zones import Zones
from tests.app.api.conftest import Perform, put
from tests.app.api.test_problems import assert_problem
from tests.app.api.test_samples import KNOWN, NAMES, answered, draw, filled, table
from tests.app.api.test_samples import do as do
from tests.app.api.test_samples import http as http
from tests.app.api.test_samples import prediction as prediction
from tests.app.api.test_samples import services as services
from tests.app.api.test_zones import FIELDS, layer, px

COUNTIES = {"450101": (0, 32), "450102": (32, 50.25), "450103": (50.25, 64)}


@pytest.fixture(scope="module")
def zones(http: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A zone set with a city, its three counties, which tile it, and one that is far away."""
    known = [(px(0, 0, 64, 64), {"code": "4501", "name": "市", "in": "45"})]
    known += [(px(left, 0, right, 64), {"code": code, "in": "4501"}) for code, (left, right) in COUNTIES.items()]
    known += [(px(900, 900, 910, 910), {"code": "450109", "in": "4501"})]
    path = layer(tmp_path_factory.mktemp("zones") / "counties.geojson", known)
    assert put(http, "/v1/zones/counties", path, **FIELDS).status_code == 201
    return "counties"


def test_zones_are_domains_that_add_up_to_the_whole(
    http: httpx.Client, do: Perform, prediction: str, zones: str
) -> None:
    path = draw(http, do, prediction)
    answered(http, path, filled(http, path))
    plain = http.get(f"{path}/estimates").json()
    made = http.get(f"{path}/estimates", params={"zones": zones, "min_n": 30}).json()
    assert (plain["zones"], made["zones"], made["overall"]) == (None, zones, plain["overall"])
    assert made["items"][:2] == plain["items"]
    rows = {(row["zone"], row["class"]): row for row in made["items"][2:]}
    assert [code for code, _ in rows] == [code for code in ("4501", *COUNTIES, "450109") for _ in NAMES]

    points = table(http.get(f"{path}/points?f=csv&map_class=true"))
    cols = np.array([int(row["col"]) for row in points]) + 0.5
    strata = http.get(path).json()["strata"]
    keys = [stratum["key"] for stratum in strata]
    own = Sample(
        "stratified",
        Strata(
            tuple(keys),
            np.array([each["area_ha"] for each in strata]),
            np.array([each["pixels"] for each in strata], dtype=float),
        ),
        Points(
            stratum=np.array([keys.index(row["stratum"]) for row in points]),
            mapped=np.array([NAMES.index(row["map_class"]) for row in points]),
            reference=np.array([KNOWN[int(row["row"]), int(row["col"])] for row in points]),
            zone=np.searchsorted([32, 50.25], cols),
        ),
    )
    areas = http.get(f"/v1/predictions/{prediction}/areas", params={"zones": zones}).json()["items"]
    cane_ha = {row["zone"]: row["mapped_ha"] for row in areas}
    seen_ha = {row["zone"]: row["observed_ha"] for row in areas}
    mapped_ha = np.array([[seen_ha[code] - cane_ha[code], cane_ha[code]] for code in COUNTIES])
    expected = estimate(own, 2, zones=Zones(mapped_ha), min_points=30).rows[2:]
    for row in expected:
        assert row.zone is not None
        found = rows[[*COUNTIES][row.zone], NAMES[row.class_index]]
        assert (found["n"], found["method"], found["too_few"]) == (row.points, row.method, row.too_few)
        assert (found["estimated_ha"], found["se_ha"]) == pytest.approx((row.area.value, row.area.se), rel=1e-6)
        assert found["mapped_ha"] == pytest.approx(mapped_ha[row.zone, row.class_index])
    assert {row["method"] for row in rows.values()} <= set(made["methods"])

    for number, name in enumerate(NAMES):
        whole = made["items"][number]["estimated_ha"]
        assert rows["4501", name]["benchmarked_ha"] == pytest.approx(whole, rel=1e-9)
        assert sum(rows[code, name]["benchmarked_ha"] for code in COUNTIES) == pytest.approx(whole, rel=1e-9)
        far = rows["450109", name]
        assert (far["estimated_ha"], far["benchmarked_ha"], far["n"]) == (None, None, 0)
        assert far["why"] == "No ground of the zone was sampled or mapped."


def test_a_zone_with_few_points_says_so(http: httpx.Client, do: Perform, prediction: str, zones: str) -> None:
    path = draw(http, do, prediction, n=60)
    answered(http, path, filled(http, path))
    rows = http.get(f"{path}/estimates", params={"zones": zones, "min_n": 2000}).json()["items"][2:]
    assert {row["method"] for row in rows if row["zone"] in COUNTIES} == {"composite"}
    assert all(row["too_few"] and row["estimated_ha"] is not None for row in rows if row["zone"] in COUNTIES)
    assert {row["se_ha"] for row in rows if row["zone"] in COUNTIES} == {None}, "too few zones tell how they differ"


def test_points_are_found_once_and_forgotten_with_the_zones(
    http: httpx.Client, do: Perform, prediction: str, tmp_path: Path, services: Services
) -> None:
    path = draw(http, do, prediction, n=60)
    answered(http, path, filled(http, path))
    one = layer(tmp_path / "one.geojson", [(px(0, 0, 40, 64), {"code": "1"})])
    assert put(http, "/v1/zones/one", one, code_field="code").status_code == 201
    url = f"{path}/estimates?zones=one"
    assert http.get(url).json() == http.get(url).json()
    kept = select(func.count()).select_from(SampleZones).where(SampleZones.zones == "one")
    with services.database.read() as session:
        assert session.scalar(kept) == 1
    rows = http.get(url).json()["items"]
    assert 0 < rows[2]["benchmarked_ha"] < rows[0]["estimated_ha"], "ground outside all zones counts, too"
    assert http.delete("/v1/zones/one").status_code == 204
    with services.database.read() as session:
        assert session.scalar(kept) == 0
    assert assert_problem(http.get(url), 422)["type"] == "unknown-zones"


def test_estimates_by_zone_are_tables_and_maps(http: httpx.Client, do: Perform, prediction: str, zones: str) -> None:
    path = draw(http, do, prediction, n=60)
    answered(http, path, filled(http, path))
    url = f"{path}/estimates?zones={zones}"
    items = http.get(url).json()["items"]
    rows = table(http.get(f"{url}&f=csv"))
    assert [(row["zone"], row["class"]) for row in rows] == [(item["zone"] or "", item["class"]) for item in items]
    chinese = table(http.get(f"{url}&f=csv&lang=zh"))
    assert not [name for name in chinese[0] if name.isascii() and "_" in name]
    features = http.get(f"{url}&f=geojson").json()["features"]
    assert [feature["properties"] for feature in features] == items[2:]
    book = http.get(f"{url}&f=xlsx")
    assert book.headers["content-type"].endswith("spreadsheetml.sheet")
    with ZipFile(io.BytesIO(book.content)) as file:
        assert file.read("xl/worksheets/sheet1.xml").count(b"<row ") == 1 + len(items)


def by_zone(http: httpx.Client, do: Perform, map_: str, zones: str, **design: object) -> str:
    body = {"map": map_, "zones": zones, "design": {"strata": "class_x_zone", "n": 400, **design}}
    made = http.post("/v1/samples", json=body)
    assert made.status_code == 201, made.text
    do(made.json()["id"])
    path = str(made.headers["location"])
    assert http.get(path).json()["job"]["status"] == "successful", http.get(path).text
    return path


def test_a_sample_by_zone_has_the_stratified_estimate_in_each(
    http: httpx.Client, do: Perform, prediction: str, zones: str
) -> None:
    path = by_zone(http, do, prediction, zones)
    document = http.get(path).json()
    strata = document["strata"]
    assert document["zones"] == zones
    assert [each["key"] for each in strata] == [f"{code}/{value}" for code in COUNTIES for value in (0, 1)]
    assert {row["zone"] for row in document["expected"]} == {None, *COUNTIES}

    rows = filled(http, path)
    truth = {row["id"]: row["class"] for row in rows}
    points = table(http.get(f"{path}/points?f=csv&map_class=true"))
    answered(http, path, rows)
    made = http.get(f"{path}/estimates", params={"zones": zones}).json()
    found = {(row["zone"], row["class"]): row for row in made["items"]}
    for code in COUNTIES:
        row = found[code, NAMES[1]]
        assert (row["method"], row["too_few"]) == ("stratified", False)
        own = [each for each in strata if each["zone"] == code]
        ground = sum(each["area_ha"] for each in own)
        share = variance = 0.0
        for each in own:
            of_stratum = [truth[point["id"]] == NAMES[1] for point in points if point["stratum"] == each["key"]]
            weight, mean, n = each["area_ha"] / ground, np.mean(of_stratum), len(of_stratum)
            share += weight * mean
            variance += weight**2 * (1 - n / each["pixels"]) * mean * (1 - mean) / (n - 1)
        area = sum(found[code, name]["mapped_ha"] for name in NAMES)
        assert (row["estimated_ha"], row["se_ha"]) == pytest.approx((area * share, area * variance**0.5), rel=1e-6)
    assert found["4501", NAMES[1]]["method"] == "stratified", "the counties are its strata"
    assert "doi" in made["methods"]["stratified"]
    whole = found[None, NAMES[1]]["estimated_ha"]
    assert sum(found[code, NAMES[1]]["benchmarked_ha"] for code in COUNTIES) == pytest.approx(whole, rel=1e-9)

    refused = assert_problem(http.delete(f"/v1/zones/{zones}"), 409)
    assert document["id"] in str(refused)


def test_a_county_that_nobody_has_labelled_yet_leaves_the_others_their_estimates(
    http: httpx.Client, do: Perform, prediction: str, zones: str
) -> None:
    path = by_zone(http, do, prediction, zones)
    answered(http, path, [row for row in filled(http, path) if int(row["col"]) < 50])
    items = http.get(f"{path}/estimates", params={"zones": zones}).json()["items"]
    unknown = [row["zone"] for row in items if row["class"] == NAMES[1] and row["estimated_ha"] is None]
    assert unknown == [None, "4501", "450103", "450109"]
    assert "has no sample point" in items[0]["why"]


def test_zones_in_which_nothing_can_be_drawn_are_refused_by_the_job(
    http: httpx.Client, do: Perform, prediction: str, tmp_path: Path
) -> None:
    far = layer(tmp_path / "far.geojson", [(px(900, 900, 910, 910), {"code": "1"})])
    assert put(http, "/v1/zones/far", far, code_field="code").status_code == 201
    body = {"map": prediction, "zones": "far", "design": {"strata": "class_x_zone", "n": 90}}
    made = http.post("/v1/samples", json=body).json()
    do(made["id"])
    job = http.get(f"/v1/samples/{made['id']}").json()["job"]
    assert job["status"] == "failed" and "No zone has a pixel" in str(job)
