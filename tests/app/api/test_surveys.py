"""Surveys through HTTP, on both databases: from many scenes to one mosaic, its hectares and their change."""

import csv
import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from PIL import Image

from app.jobs import claims, lifecycle
from app.services import Services
from app.settings import Settings
from app.tables import Survey
from ml.surveys.mosaic import UNOBSERVED
from tests import stac
from tests.app.api.conftest import Perform, pixels, put
from tests.app.api.test_problems import assert_problem
from tests.app.api.test_zones import FIELDS, layer, px
from tests.app.documents import problem
from tests.ml.conftest import GRID, write_scene

EAST = "EPSG:32649"


@pytest.fixture
def settings(trained: Settings) -> Settings:
    """A service that has the model cane:1 and a prediction of s1, on both databases."""
    return trained


@pytest.fixture
def fields(http: httpx.Client, tmp_path: Path) -> None:
    """Two scenes beside s1: f1 overlaps it to the right by half, has clouds and is newer; f2 lies apart."""
    cloudy = pixels(seed=41)
    cloudy[:, 20:40, 10:50] = 0
    place = GRID @ Affine.translation(32, 0)
    file = write_scene(tmp_path / "f1.tif", cloudy, transform=place, nodata=0)
    assert put(http, "/v1/scenes/f1", file, acquired="2024-11-02").status_code == 201
    file = write_scene(tmp_path / "f2.tif", pixels(seed=42), transform=GRID @ Affine.translation(100, 0))
    assert put(http, "/v1/scenes/f2", file, acquired="2024-11-03").status_code == 201
    assert http.patch("/v1/scenes/s1", json={"acquired": "2024-10-01"}).status_code == 200


def ask(http: httpx.Client, **changes: Any) -> httpx.Response:
    body = {"scenes": ["s1", "f1", "f2"], "model": "cane@champion"} | changes
    return http.post("/v1/surveys", json={name: value for name, value in body.items() if value is not None})


def finish(http: httpx.Client, do: Perform, id_: str) -> dict[str, Any]:
    """Do the jobs of a survey as workers do, the maps first; returns its document."""
    for item in http.get(f"/v1/surveys/{id_}/scenes").json()["items"]:
        if item["status"] == "accepted":
            do(item["prediction"])
    do(id_)
    found: dict[str, Any] = http.get(f"/v1/surveys/{id_}").json()
    assert found["job"]["status"] == "successful", found["job"]
    return found


def raster(http: httpx.Client, path: str, folder: Path) -> np.ndarray:
    answer = http.get(path)
    assert answer.status_code == 200, answer.text
    (folder / "got.tif").write_bytes(answer.content)
    with rasterio.open(folder / "got.tif") as file:
        found: np.ndarray = file.read(1)
    return found


@pytest.mark.usefixtures("fields")
def test_a_survey_maps_what_is_not_mapped_yet_and_each_pixel_comes_from_the_newest_scene(
    http: httpx.Client, do: Perform, tmp_path: Path
) -> None:
    known = http.get("/v1/predictions").json()["features"][0]["id"]
    made = ask(http, title="全县 2024")
    assert made.status_code == 201, made.text
    id_ = made.json()["id"]
    assert made.headers["location"] == f"/v1/surveys/{id_}" and id_.startswith("srv_")
    assert (made.json()["scenes"], made.json()["job"]["total"], made.json()["mosaic"]) == (3, 3, None)
    scenes = http.get(f"/v1/surveys/{id_}/scenes").json()["items"]
    assert scenes[0]["prediction"] == known and [item["status"] for item in scenes] == [
        "successful",
        "accepted",
        "accepted",
    ]
    assert http.get(f"/v1/jobs/{scenes[1]['prediction']}").json()["parent"] == id_
    assert_problem(http.get(f"/v1/surveys/{id_}/areas"), 404)
    document = finish(http, do, id_)
    maps = [
        raster(http, f"/v1/predictions/{item['prediction']}/classes.tif", tmp_path)
        for item in http.get(f"/v1/surveys/{id_}/scenes").json()["items"]
    ]
    wanted, sources = np.full((64, 164), 255, np.uint8), np.zeros((64, 164), np.uint16)
    wanted[:, :64], sources[:, :64] = maps[0], 1
    seen = maps[1] != 255
    assert not seen.all()
    right, of_right = wanted[:, 32:96], sources[:, 32:96]
    of_right[:] = np.where(seen, 2, np.where(right == 255, UNOBSERVED, 1))
    right[seen] = maps[1][seen]
    wanted[:, 100:], sources[:, 100:] = maps[2], 3
    np.testing.assert_array_equal(raster(http, f"/v1/surveys/{id_}/mosaic.tif", tmp_path), wanted)
    np.testing.assert_array_equal(raster(http, f"/v1/surveys/{id_}/sources.tif", tmp_path), sources)
    assert "sugarcane" in http.get(f"/v1/surveys/{id_}/mosaic.qml").text
    assert_problem(http.get(f"/v1/surveys/{id_}/mosaic.tif.aux.xml"), 404)
    items = http.get(f"/v1/surveys/{id_}/scenes").json()["items"]
    assert [item["pixels"] for item in items] == [int((sources == number).sum()) for number in (1, 2, 3)]
    mosaic = document["mosaic"]
    assert (mosaic["crs"], mosaic["rows"], mosaic["cols"]) == ("EPSG:32648", 64, 164)
    assert sum(item["area_ha"] for item in items) == pytest.approx(mosaic["observed_ha"])
    (row,) = http.get(f"/v1/surveys/{id_}/areas").json()["items"]
    assert (row["class"], row["zone"], row["indicative_ha"]) == ("sugarcane", None, None) and row["why"]
    assert row["mapped_ha"] == pytest.approx((wanted == 1).sum() * 0.01, rel=2e-3)
    assert row["unobserved_ha"] == pytest.approx((sources == UNOBSERVED).sum() * 0.01, rel=2e-3)
    again = ask(http)
    assert again.json()["job"]["total"] == 1, "all scenes are mapped, so only the mosaic is left"
    do(again.json()["id"])
    listed = http.get("/v1/surveys").json()["items"]
    assert [item["id"] for item in listed] == [again.json()["id"], id_]
    assert http.patch(f"/v1/surveys/{id_}", json={"title": None}).json()["title"] is None
    assert ask(http, config={"views": 8}).json()["job"]["total"] == 4, "maps of one view are not those of eight"
    assert ask(http, config={"views": 1}).json()["job"]["total"] == 1


@pytest.mark.usefixtures("fields")
def test_a_survey_has_map_tiles_and_is_an_item_of_the_catalogue(
    http: httpx.Client, do: Perform, tmp_path: Path, services: Services
) -> None:
    id_ = ask(http, title="全县 2024").json()["id"]
    url = f"/v1/surveys/{id_}"
    assert_problem(http.get(f"{url}/tilejson.json"), 404)
    assert http.get("/v1/stac/collections/surveys/items").json()["features"] == []
    links = {each["rel"]: each["href"] for each in finish(http, do, id_)["links"]}
    described = http.get(links["tilejson"]).json()
    assert described == http.get(f"{url}/tiles/WebMercatorQuad/tilejson.json").json()
    assert described["name"] == "全县 2024" and id_ in described["tiles"][0]
    classes = raster(http, f"{url}/mosaic.tif", tmp_path)
    with rasterio.open(tmp_path / "got.tif") as file:
        to_world = pyproj.Transformer.from_crs(file.crs.to_wkt(), "EPSG:3857", always_xy=True)
        transform = file.transform
    zoom, side = described["maxzoom"], 40_075_016.68557849
    for row, col in np.random.default_rng(1).integers(0, classes.shape, (40, 2)):
        x, y = to_world.transform(*(transform @ (col + 0.5, row + 0.5)))
        at = np.array([x / side + 0.5, 0.5 - y / side]) * 2**zoom
        tile = http.get(f"{url}/tiles/WebMercatorQuad/{zoom}/{int(at[0])}/{int(at[1])}.png")
        pixel = (
            Image.open(io.BytesIO(tile.content)).convert("RGBA").getpixel(tuple((at % 1 * 256).astype(int).tolist()))
        )
        assert pixel == ((76, 175, 80, 255) if classes[row, col] == 1 else (0, 0, 0, 0)), (row, col)
    assert http.get(f"{url}/tiles/WebMercatorQuad/{zoom}/0/0.webp").status_code == 200, "nothing is there"
    assert_problem(http.get(f"{url}/tiles/WebMercatorQuad/{described['minzoom'] - 1}/0/0.png"), 404)
    assert_problem(http.get(f"{url}/tiles/WebMercatorQuad/{zoom}/-1/0.png"), 404)
    head = http.head(f"{url}/tiles/WebMercatorQuad/{zoom}/0/0.png")
    assert head.status_code == 200 and head.headers["content-type"] == "image/png"
    unchanged = http.get(f"{url}/preview.png", headers={"If-None-Match": head.headers["etag"]})
    assert unchanged.status_code == 304 and http.get(f"{url}/preview.png").content.startswith(b"\x89PNG")
    for wrong in (f"/v1/predictions/{id_}/tilejson.json", f"/v1/surveys/{prediction_of(http)}/tilejson.json"):
        assert_problem(http.get(wrong), 404)
    signed = http.post("/v1/signed-urls", json={"path": f"{url}/tilejson.json"})
    assert signed.status_code == 200 and "?" in httpx.get(signed.json()["url"]).json()["tiles"][0]

    (item,) = http.get("/v1/stac/collections/surveys/items").json()["features"]
    stac.check(item)
    stac.check(http.get("/v1/stac/collections/surveys").json())
    assert http.get(f"/v1/stac/collections/surveys/items/{id_}").json() == item
    assert set(item["assets"]) == {"mosaic.tif", "mosaic.qml", "sources.tif", "web.tif"}
    assert item["assets"]["mosaic.tif"]["proj:code"] == "EPSG:32648"
    properties = item["properties"]
    assert (properties["scenes"], properties["start_datetime"]) == (3, "2024-10-01T00:00:00Z")
    assert shapely.geometry.shape(item["geometry"]).bounds == pytest.approx(item["bbox"])
    found = http.get("/v1/stac/search", params={"collections": "surveys", "bbox": "104.9,10.8,105.1,10.9"}).json()
    assert [each["id"] for each in found["features"]] == [id_]
    for nothing in ({"bbox": "0,0,1,1"}, {"datetime": "1999-01-01"}, {"ids": "srv_0"}):
        assert not http.get("/v1/stac/search", params={"collections": "surveys", **nothing}).json()["features"]
    older = finish(http, do, ask(http).json()["id"])["id"]
    with services.database.write() as session:  # made by a version without tiles
        row = session.get_one(Survey, older)
        row.products = {name: item for name, item in (row.products or {}).items() if name != "web.tif"}
    assert "tilejson" not in {each["rel"] for each in http.get(f"/v1/surveys/{older}").json()["links"]}
    missing = assert_problem(http.get(f"/v1/surveys/{older}/tilejson.json"), 404)
    assert [fault["code"] for fault in missing["errors"]] == ["no_tiles"]
    assert http.delete(url).status_code == 204
    assert_problem(http.get(f"/v1/stac/collections/surveys/items/{id_}"), 404)


def prediction_of(http: httpx.Client) -> str:
    return str(http.get("/v1/predictions").json()["features"][0]["id"])


@pytest.mark.usefixtures("fields")
def test_zones_that_tile_a_survey_have_its_hectares_and_a_gap_is_unobserved(
    http: httpx.Client, do: Perform, tmp_path: Path
) -> None:
    cuts = [(0, 40.5), (40.5, 96), (96, 100), (100, 164), (500, 510)]
    zones = [(px(a, 0, b, 64), {"code": f"c{a}", "name": "县", "in": None}) for a, b in cuts]
    assert put(http, "/v1/zones/counties", layer(tmp_path / "z.geojson", zones), **FIELDS).status_code == 201
    id_ = finish(http, do, ask(http, zones="counties").json()["id"])["id"]
    rows = http.get(f"/v1/surveys/{id_}/areas", params={"zones": "counties"}).json()["items"]
    (whole,) = http.get(f"/v1/surveys/{id_}/areas").json()["items"]
    for name in ("mapped_ha", "observed_ha"):
        assert sum(row[name] or 0 for row in rows) == pytest.approx(whole[name], abs=1e-4)
    gap, outside = rows[2], rows[4]
    assert gap["mapped_ha"] is None and gap["observed_ha"] == 0
    assert gap["unobserved_ha"] == pytest.approx(4 * 64 * 0.01, rel=2e-3)
    assert outside["mapped_ha"] is None and "outside" in outside["why"]
    table = http.get(f"/v1/surveys/{id_}/areas", params={"zones": "counties", "f": "csv", "lang": "en"})
    lines = list(csv.DictReader(io.StringIO(table.content.decode("utf-8-sig"))))
    assert [line["zone"] for line in lines] == [row["zone"] for row in rows]
    assert {line["survey"] for line in lines} == {id_} and float(lines[0]["mapped_ha"]) == round(
        rows[0]["mapped_ha"], 4
    )
    assert http.get(f"/v1/surveys/{id_}/areas", params={"f": "xlsx"}).content.startswith(b"PK")
    features = http.get(f"/v1/surveys/{id_}/areas", params={"f": "geojson", "zones": "counties"}).json()["features"]
    assert [each["properties"]["zone"] for each in features] == [row["zone"] for row in rows]
    (feature,) = http.get(f"/v1/surveys/{id_}/areas", params={"f": "geojson"}).json()["features"]
    assert shapely.geometry.shape(feature["geometry"]).geom_type == "MultiPolygon"
    index = http.get(f"/v1/surveys/{id_}/scenes", params={"f": "geojson"}).json()["features"]
    assert [each["properties"]["scene"] for each in index] == ["s1", "f1", "f2"]
    assert "f2" in http.get(f"/v1/surveys/{id_}/scenes", params={"f": "csv"}).text
    other = http.put("/v1/zones/other", content=(tmp_path / "z.geojson").read_bytes(), params=FIELDS)
    assert other.status_code == 201
    later = http.get(f"/v1/surveys/{id_}/areas", params={"zones": "other"}).json()["items"]
    assert later == rows, "measured in a child process, as in the job"
    assert http.delete("/v1/zones/counties").status_code == 204
    assert assert_problem(http.get(f"/v1/surveys/{id_}/areas?zones=counties"), 422)["type"] == "unknown-zones"


@pytest.mark.usefixtures("fields")
def test_the_change_between_two_surveys(http: httpx.Client, do: Perform, tmp_path: Path) -> None:
    zones = [(px(a, 0, b, 64), {"code": f"c{a}", "name": "县", "in": None}) for a, b in ((0, 50), (50, 200))]
    put(http, "/v1/zones/counties", layer(tmp_path / "z.geojson", zones), **FIELDS)
    before = finish(http, do, ask(http, scenes=["s1", "f2"]).json()["id"])["id"]
    after = finish(http, do, ask(http, scenes=["f1", "f2"]).json()["id"])["id"]
    found = [raster(http, f"/v1/surveys/{id_}/mosaic.tif", tmp_path) for id_ in (before, after)]
    was, is_ = np.full((64, 164), 255), np.full((64, 164), 255)
    was[:], is_[:, 32:] = found
    both = (was != 255) & (is_ != 255)
    counts = {
        "gain_ha": both & (was != 1) & (is_ == 1),
        "loss_ha": both & (was == 1) & (is_ != 1),
        "earlier_ha": both & (was == 1),
        "later_ha": both & (is_ == 1),
        "observed_ha": both,
        "only_earlier_ha": (was != 255) & (is_ == 255),
        "only_later_ha": (was == 255) & (is_ != 255),
    }
    query = {"with": before}
    answer = http.get(f"/v1/surveys/{after}/compare", params=query)
    assert answer.status_code == 200, answer.text
    (row,) = answer.json()["items"]
    for name, there in counts.items():
        assert row[name] == pytest.approx(there.sum() * 0.01, rel=2e-3), name
    assert row["net_ha"] == pytest.approx(row["gain_ha"] - row["loss_ha"])
    assert row["net_ci95_ha"] is None and "sample" in row["why"] and row["unobserved_ha"] is None
    by_zone = http.get(f"/v1/surveys/{after}/compare", params=query | {"zones": "counties"}).json()["items"]
    for name in counts:
        assert sum(each[name] for each in by_zone) == pytest.approx(row[name], abs=1e-4)
    assert [each["zone"] for each in by_zone] == ["c0", "c50"] and by_zone[1]["unobserved_ha"] > 0
    table = http.get(f"/v1/surveys/{after}/compare", params=query | {"zones": "counties", "f": "csv"}).text
    assert "net_ci95_low_ha" in table and before in table
    drawn = http.get(f"/v1/surveys/{after}/compare", params=query | {"f": "geojson"}).json()["features"]
    assert drawn[0]["properties"]["net_ha"] == row["net_ha"]
    assert http.get(f"/v1/surveys/{after}/compare", params=query).json() == answer.json()
    for other in (after, "srv_nothing"):
        refused = http.get(f"/v1/surveys/{after}/compare", params={"with": other})
        assert assert_problem(refused, 422)["type"] == "unknown-survey"
    assert http.delete(f"/v1/surveys/{before}").status_code == 204


@pytest.mark.usefixtures("fields")
def test_a_scene_that_cannot_be_mapped_fails_the_survey_and_a_retry_maps_that_scene_alone(
    http: httpx.Client, do: Perform, services: Services
) -> None:
    id_ = ask(http).json()["id"]
    _, first, second = (item["prediction"] for item in http.get(f"/v1/surveys/{id_}/scenes").json()["items"])
    with services.database.write() as session:  # as a worker does that cannot map the scene
        claim = claims.claim(session, first)
        assert claim is not None
        claims.fail(session, claim, problem("No good."))
    with services.database.write() as session:  # as a sweep does after the host of a worker was killed
        claim = claims.claim(session, second)
        assert claim is not None
        running = lifecycle.get(session, second)
        assert lifecycle.give_back_or_fail(session, running, max_failures=3) == "accepted"
    assert http.get(f"/v1/surveys/{id_}").json()["job"]["status"] == "running"
    do(second)
    do(id_)
    failed = http.get(f"/v1/surveys/{id_}").json()["job"]
    assert failed["status"] == "failed" and first in failed["error"]["detail"]
    assert second not in failed["error"]["detail"]
    assert assert_problem(http.post(f"/v1/jobs/{first}/retry"), 409)["type"] == "parent-ended"
    assert http.post(f"/v1/jobs/{id_}/retry").status_code == 201
    statuses = [item["status"] for item in http.get(f"/v1/surveys/{id_}/scenes").json()["items"]]
    assert statuses == ["successful", "accepted", "successful"]
    finish(http, do, id_)


@pytest.mark.usefixtures("fields")
def test_dismissing_a_survey_dismisses_its_maps_and_deleting_it_leaves_those_that_are_made(
    http: httpx.Client, do: Perform, services: Services
) -> None:
    id_ = ask(http).json()["id"]
    known, first, second = (item["prediction"] for item in http.get(f"/v1/surveys/{id_}/scenes").json()["items"])
    do(first)
    assert assert_problem(http.delete(f"/v1/surveys/{id_}"), 409)["type"] == "job-running"
    assert http.delete(f"/v1/jobs/{id_}").json()["status"] == "dismissed"
    statuses = [http.get(f"/v1/jobs/{job}").json()["status"] for job in (known, first, second)]
    assert statuses == ["successful", "successful", "dismissed"]
    http.post(f"/v1/jobs/{id_}/retry")
    finish(http, do, id_)
    used = assert_problem(http.delete(f"/v1/predictions/{first}"), 409)
    assert used["type"] == "prediction-in-use" and id_ in used["detail"]
    assert list(services.store.keys("surveys/"))
    assert http.delete(f"/v1/surveys/{id_}").status_code == 204
    assert not list(services.store.keys("surveys/"))
    assert http.get(f"/v1/jobs/{first}").json()["parent"] is None
    assert http.get(f"/v1/jobs/{id_}").status_code == 404
    assert http.delete(f"/v1/predictions/{first}").status_code == 204


@pytest.mark.usefixtures("fields")
def test_all_that_is_wrong_is_said_at_once(http: httpx.Client, tmp_path: Path) -> None:
    wide = write_scene(tmp_path / "wide.tif", pixels(seed=1)[:2])
    put(http, "/v1/scenes/wide", wide)
    config = {"outputs": ["polygons"]}
    refused = ask(
        http, scenes=["s1", "nothing", "s1", "wide"], zones="none", crs="EPSG:1", model="nobody", config=config
    )
    errors = assert_problem(refused, 422)["errors"]
    assert {(error["code"], error["pointer"]) for error in errors} == {
        ("unknown_scene", "/scenes/1"),
        ("duplicate_scene", "/scenes/2"),
        ("unknown_zones", "/zones"),
        ("bad_crs", "/crs"),
        ("no_classes", "/config"),
        ("unknown_model", "/model"),
    }
    errors = assert_problem(ask(http, scenes=["s1", "wide"]), 422)["errors"]
    assert [(error["code"], error["pointer"]) for error in errors] == [
        ("wrong_bands", "/scenes/1"),
        ("not_dated", "/scenes/1"),
    ]
    both = assert_problem(ask(http, query={"datetime": "2024-10-01/.."}), 422)["errors"]
    assert [error["code"] for error in both] == ["scenes_or_query"]
    far = assert_problem(ask(http, scenes=["s1", "f2"], resolution_m=0.000_1), 422)
    assert far["errors"][0]["code"] == "mosaic_too_large"
    empty = ask(http, scenes=None, query={"datetime": "1999-01-01"}, overlap="priority")
    assert {error["code"] for error in assert_problem(empty, 422)["errors"]} == {"no_scenes", "no_order"}


@pytest.mark.usefixtures("fields")
def test_scenes_are_found_by_place_and_time_and_mapped_in_another_crs(
    http: httpx.Client, do: Perform, tmp_path: Path
) -> None:
    query = {"bbox": [104.9, 10.8, 105.1, 10.9], "datetime": "2024-11-01/.."}
    made = ask(http, scenes=None, query=query, crs=EAST, resolution_m=20, overlap="best")
    assert made.status_code == 201, made.text
    found = finish(http, do, made.json()["id"])
    assert [item["scene"] for item in http.get(f"/v1/surveys/{found['id']}/scenes").json()["items"]] == ["f1", "f2"]
    assert (found["mosaic"]["crs"], found["mosaic"]["transform"][0], found["crs"]) == (EAST, 20, EAST)
    whole = http.get(f"/v1/surveys/{found['id']}/areas").json()["items"][0]
    maps = http.get("/v1/predictions").json()["features"]
    single = [
        http.get(f"/v1/predictions/{item['id']}/areas").json()["items"][0]["observed_ha"]
        for item in maps
        if item["properties"]["scene"] in ("f1", "f2")
    ]
    assert whole["observed_ha"] == pytest.approx(sum(single), rel=0.02)
