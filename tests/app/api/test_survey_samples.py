"""Samples of surveys: points of a mosaic, their scenes and pictures, estimates by zone, and intervals of the change."""

import io
import math
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyproj
import pytest
import rasterio
from PIL import Image

from app.mapping import surveys
from app.services import Services
from app.storage import new_place
from app.tables import Survey
from ml.sampling.chip import GAP_PX, SIDE_PX
from tests.app.api.conftest import Perform, put
from tests.app.api.test_problems import assert_problem
from tests.app.api.test_samples import as_csv, draw, table
from tests.app.api.test_surveys import EAST, ask, finish, raster
from tests.app.api.test_surveys import fields as fields
from tests.app.api.test_surveys import settings as settings
from tests.app.api.test_zones import FIELDS, layer, px

NAMES = ("other", "sugarcane")
Truth = np.ndarray


def replaced(services: Services, http: httpx.Client, id_: str, folder: Path, seed: int) -> Truth:
    """Put another mosaic in the place of that of a survey, since the tiny net maps one class; returns its classes."""
    raster(http, f"/v1/surveys/{id_}/mosaic.tif", folder)
    with rasterio.open(folder / "got.tif") as file:
        seen, profile = file.read(1), file.profile
    random = np.random.default_rng(seed)
    classes = np.where(seen == 255, 255, random.random(seen.shape) < 0.4).astype(np.uint8)
    path = folder / f"{seed}.tif"
    with rasterio.open(path, "w", **profile | {"driver": "GTiff"}) as file:
        file.write(classes, 1)
    with services.database.write() as session:
        row = session.get_one(Survey, id_)
        stored = services.store.put(path, new_place("surveys", id_, surveys.MAP))
        row.products = {**(row.products or {}), surveys.MAP: stored}
    return classes


def with_errors(classes: Truth, seed: int) -> Truth:
    """The true class of each pixel: that of the map, but for a tenth of the pixels."""
    wrong = np.random.default_rng(seed).random(classes.shape) < 0.1
    return np.where(wrong, 1 - classes, classes)


def answer(http: httpx.Client, path: str, truth: Truth, labeller: str = "main") -> list[dict[str, str]]:
    """Send the true class of each point; returns the points with what the map says."""
    rows = table(http.get(f"{path}/points?f=csv"))
    filled = [row | {"class": NAMES[truth[int(row["row"]), int(row["col"])]]} for row in rows]
    sent = http.put(f"{path}/answers", content=as_csv(filled), params={"labeller": labeller})
    assert sent.status_code == 200, sent.text
    return table(http.get(f"{path}/points?f=csv&map_class=true"))


def pixel_ha(folder: Path) -> np.ndarray:
    """The area of each pixel of the last raster: that of its geodesic polygon on the ellipsoid."""
    with rasterio.open(folder / "got.tif") as file:
        crs, transform, shape = pyproj.CRS(file.crs.to_wkt()), file.transform, file.shape
    to_degrees = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    row, col = np.mgrid[0 : shape[0] + 1, 0 : shape[1] + 1]
    lon, lat = to_degrees.transform(*(transform @ (col, row)))
    geod, areas = crs.get_geod(), np.zeros(shape)
    assert geod is not None
    for i, j in np.ndindex(*shape):
        ring = [(i, j), (i, j + 1), (i + 1, j + 1), (i + 1, j)]
        areas[i, j] = abs(geod.polygon_area_perimeter([lon[at] for at in ring], [lat[at] for at in ring])[0]) / 10_000
    return areas


@pytest.mark.usefixtures("fields")
def test_a_sample_of_a_mosaic_has_exact_areas_scenes_pictures_and_estimates_by_zone(
    http: httpx.Client, do: Perform, services: Services, tmp_path: Path
) -> None:
    id_ = ask(http, crs=EAST).json()["id"]
    early = assert_problem(http.post("/v1/samples", json={"map": id_, "design": {"n": 100}}), 409)
    assert early["type"] == "map-not-ready" and id_ in early["detail"]
    finish(http, do, id_)
    sources = raster(http, f"/v1/surveys/{id_}/sources.tif", tmp_path)
    classes = replaced(services, http, id_, tmp_path, seed=1)
    areas = pixel_ha(tmp_path)
    path = draw(http, do, id_, n=300)
    document = http.get(path).json()
    assert (document["map"], document["n"], document["software"] is None) == (id_, 300, False)
    frame = document["frame"]
    for value in (0, 1):
        assert frame["class_pixels"][str(value)] == (classes == value).sum()
        assert frame["class_area_ha"][str(value)] == pytest.approx(areas[classes == value].sum(), rel=1e-7)
    truth = with_errors(classes, 2)
    points = answer(http, path, truth)
    scenes = [item["scene"] for item in http.get(f"/v1/surveys/{id_}/scenes").json()["items"]]
    rows, cols = (np.array([int(point[name]) for point in points]) for name in ("row", "col"))
    assert [point["scene"] for point in points] == [scenes[number - 1] for number in sources[rows, cols]]
    assert len({point["scene"] for point in points}) == 3
    assert [point["map_class"] for point in points] == [NAMES[value] for value in classes[rows, cols]]
    features = http.get(f"{path}/points?f=geojson").json()["features"]
    assert features[0]["properties"]["scene"] in scenes
    picture = Image.open(io.BytesIO(http.get(f"{path}/chips/1.png").content))
    assert picture.size == (2 * SIDE_PX + GAP_PX, SIDE_PX) and len(set(picture.get_flattened_data())) > 20
    assert_problem(http.get(f"{path}/chips/301.png"), 404)

    made = http.get(f"{path}/estimates").json()
    expected = sum(
        areas[classes == value].sum() * np.average(truth[rows, cols][here] == 1, weights=areas[rows, cols][here])
        for value in (0, 1)
        if (here := classes[rows, cols] == value).any()
    )
    cane = made["items"][1]
    assert cane["estimated_ha"] == pytest.approx(expected, rel=1e-6)
    assert cane["ci95_ha"][0] < expected < cane["ci95_ha"][1]
    cuts = ((-50, 50), (50, 250))
    zones = [(px(a, -50, b, 120), {"code": f"c{a}", "name": "县", "in": None}) for a, b in cuts]
    put(http, "/v1/zones/counties", layer(tmp_path / "z.geojson", zones), **FIELDS)
    by_zone = http.get(f"{path}/estimates", params={"zones": "counties"}).json()["items"][2:]
    assert [row["zone"] for row in by_zone] == ["c-50", "c-50", "c50", "c50"]
    assert sum(row["mapped_ha"] for row in by_zone) == pytest.approx(areas[classes != 255].sum(), rel=1e-6)
    assert sum(row["n"] for row in by_zone[::2]) == 300
    (feature, _) = http.get(f"{path}/estimates?f=geojson").json()["features"]
    assert feature["geometry"]["type"] == "MultiPolygon"
    refused = assert_problem(
        http.post("/v1/samples", json={"map": id_, "design": {"n": 100, "strata": "probability"}}), 422
    )
    assert [fault["code"] for fault in refused["errors"]] == ["no_probability"]
    unknown = assert_problem(http.post("/v1/samples", json={"map": "srv_0", "design": {"n": 100}}), 422)
    assert [fault["code"] for fault in unknown["errors"]] == ["unknown_map"]
    used = assert_problem(http.delete(f"/v1/surveys/{id_}"), 409)
    assert used["type"] == "survey-in-use" and path.rpartition("/")[2] in used["detail"]
    assert http.delete(path).status_code == 204
    assert http.delete(f"/v1/surveys/{id_}").status_code == 204


def own_change(points: list[dict[str, str]], strata: list[dict[str, Any]], values: np.ndarray) -> tuple[float, float]:
    """The total of `values` of the points of a stratified sample, and its standard error (Cochran 1977, chapter 5)."""
    total = variance = 0.0
    for stratum in strata:
        here = values[[point["stratum"] == stratum["key"] for point in points]]
        total += stratum["area_ha"] * here.mean()
        variance += stratum["area_ha"] ** 2 * (1 - len(here) / stratum["pixels"]) * here.var(ddof=1) / len(here)
    return total, math.sqrt(variance)


@pytest.mark.usefixtures("fields")
def test_samples_of_two_surveys_give_the_change_between_them_an_interval(
    http: httpx.Client, do: Perform, services: Services, tmp_path: Path
) -> None:
    zones = [
        (px(a, 0, b, 64), {"code": f"c{a}", "name": "县", "in": None}) for a, b in ((0, 50), (50, 160), (160, 164))
    ]
    put(http, "/v1/zones/counties", layer(tmp_path / "z.geojson", zones), **FIELDS)
    before, after = (finish(http, do, ask(http, scenes=["s1", "f2"]).json()["id"])["id"] for _ in range(2))
    was, is_ = (replaced(services, http, id_, tmp_path, seed) for seed, id_ in enumerate((before, after), 3))
    compare = f"/v1/surveys/{after}/compare"
    query: dict[str, Any] = {"with": before}
    (none,) = http.get(compare, params=query).json()["items"]
    assert none["net_ci95_ha"] is None and "Draw a sample of each" in none["why"] and none["method"] is None
    early, late = draw(http, do, before, n=400), draw(http, do, after, n=400)
    truth = with_errors(was, 5), with_errors(is_, 6)
    answer(http, early, truth[0])
    (half,) = http.get(compare, params=query).json()["items"]
    assert half["net_ci95_ha"] is None
    answer(http, late, truth[1])
    document = http.get(compare, params=query).json()
    ids = [path.rpartition("/")[2] for path in (early, late)]
    assert [document["earlier_sample"], document["later_sample"]] == ids
    (row,) = document["items"]
    change = http.get(f"{late}/change", params={"earlier": ids[0]}).json()["items"][1]
    assert (row["net_estimated_ha"], row["net_se_ha"]) == (change["change_ha"], change["se_ha"])
    assert row["net_ci95_ha"] == change["ci95_ha"] and row["method"] == "independent"
    assert row["gain_ci95_ha"] is None and "two labellers" in row["why"]
    rows = http.get(compare, params=query | {"zones": "counties"}).json()["items"]
    estimates = [http.get(f"{path}/estimates?zones=counties").json()["items"][2:] for path in (early, late)]
    for found, one, other in zip(rows[:2], estimates[0][1::2], estimates[1][1::2], strict=False):
        assert found["net_estimated_ha"] == pytest.approx(other["estimated_ha"] - one["estimated_ha"])
        assert found["net_se_ha"] == pytest.approx(math.hypot(one["se_ha"], other["se_ha"]))
        assert (found["earlier_n"], found["later_n"]) == (one["n"], other["n"])
    assert rows[2]["net_ci95_ha"] is None and "Draw more points" in rows[2]["why"]

    answer(http, late, truth[0], "2017")
    disputed = http.get(compare, params=query).json()["items"][0]
    assert disputed["net_ci95_ha"] is None and "disagree" in disputed["why"]
    assert_problem(http.get(compare, params=query | {"sample": ids[1], "earlier_sample": ids[0]}), 409)
    points = answer(http, late, truth[1], "2018")
    seasons = {"sample": ids[1], "earlier_labeller": "2017", "labeller": "2018"}
    (same,) = http.get(compare, params=query | seasons).json()["items"]
    at = tuple(np.array([int(point[name]) for point in points]) for name in ("row", "col"))
    one, other = (each[at] == 1 for each in truth)
    strata = http.get(late).json()["strata"]
    for name, values in (("gain", other & ~one), ("loss", one & ~other), ("net", other.astype(float) - one)):
        total, se = own_change(points, strata, values.astype(float))
        assert same[f"{name}_estimated_ha"] == pytest.approx(total, rel=1e-5), name
        low, high = same[f"{name}_ci95_ha"]
        assert low < total < high
        if name == "net":
            assert same["net_se_ha"] == pytest.approx(se, rel=1e-5)
            assert (low, high) == pytest.approx((total - 1.96 * se, total + 1.96 * se), rel=1e-4)
    assert (same["method"], same["why"], same["earlier_n"]) == ("same points", None, 400)
    by_zone = http.get(compare, params=query | seasons | {"zones": "counties"}).json()["items"]
    inside = at[1] + 0.5 < 50
    mapped = http.get(f"/v1/surveys/{after}/areas?zones=counties").json()["items"]
    weight = np.array([{each["key"]: each["area_ha"] / each["n"] for each in strata}[p["stratum"]] for p in points])
    for name, values in (("gain", other & ~one), ("loss", one & ~other)):
        mean = np.average(values[inside], weights=weight[inside])
        assert by_zone[0][f"{name}_estimated_ha"] == pytest.approx(mean * mapped[0]["observed_ha"], rel=1e-5)
    assert by_zone[0]["earlier_n"] == inside.sum() and by_zone[2]["net_ci95_ha"] is None
    text = http.get(compare, params=query | seasons | {"f": "csv", "lang": "en"})
    (line,) = table(text)
    assert float(line["gain_ci95_low_ha"]) == pytest.approx(same["gain_ci95_ha"][0], abs=1e-4)
    assert (line["later_sample"], line["method"]) == (ids[1], "same points")
    chinese = table(http.get(compare, params=query | seasons | {"f": "csv", "lang": "zh"}))
    assert not [name for name in chinese[0] if name.isascii() and "_" in name]

    wrong = {"sample": ids[0], "earlier_sample": "smp_0"}
    refused = assert_problem(http.get(compare, params=query | wrong), 422)
    assert {(fault["code"], fault["pointer"]) for fault in refused["errors"]} == {
        ("other_map", "query:sample"),
        ("unknown_sample", "query:earlier_sample"),
    }
    alone = assert_problem(http.get(compare, params=query | {"sample": ids[1]}), 422)
    assert [fault["code"] for fault in alone["errors"]] == ["same_labels"]
    other_ground = finish(http, do, ask(http, scenes=["s1"]).json()["id"])["id"]
    (far,) = http.get(compare, params={"with": other_ground}).json()["items"]
    assert far["net_ci95_ha"] is None
