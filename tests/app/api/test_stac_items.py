"""Scenes and predictions are valid STAC Items, on both databases, by pystac."""

from datetime import datetime
from pathlib import Path

import httpx
import pytest
import shapely
from affine import Affine
from rasterio import open as rasterio_open

from app.settings import Settings
from tests import stac
from tests.app.api.conftest import pixels, put, serving
from tests.app.api.conftest import trained as settings
from tests.ml.conftest import MakeScene

__all__ = ["settings"]
LAMBERT = "+proj=laea +lat_0=23 +lon_0=108 +datum=WGS84"  # no authority lists it


def test_scenes_are_valid_items(http: httpx.Client, make_scene: MakeScene) -> None:
    across = Affine(1e-4, 0, 179.9968, 0, -1e-4, -16)
    sent = {
        "dated": (make_scene(pixels(1), "1.tif", nodata=100), {"acquired": "2018-10-12", "sensor": "GF-2"}),
        "undated": (make_scene(pixels(2), "2.tif"), {"bands": "b,g,r,nir"}),
        "across": (make_scene(pixels(3), "3.tif", crs="EPSG:4326", transform=across), {}),
        "nameless": (make_scene(pixels(4), "4.tif", crs=LAMBERT), {}),
    }
    for name, (file, parameters) in sent.items():
        item = put(http, f"/v1/scenes/{name}", file, **parameters).json()
        stac.check(item)
        rings = [
            shapely.get_exterior_ring(part) for part in shapely.get_parts(shapely.geometry.shape(item["geometry"]))
        ]
        assert all(shapely.is_ccw(rings)), name
        assert http.get(item["links"][0]["href"]).json() == item


def test_a_scene_without_a_time_was_taken_at_any_time_before_its_upload(http: httpx.Client, scene: Path) -> None:
    properties = put(http, "/v1/scenes/undated", scene).json()["properties"]
    assert properties["datetime"] is None
    assert (properties["start_datetime"], properties["end_datetime"]) == ("1970-01-01T00:00:00Z", properties["created"])
    dated = http.patch("/v1/scenes/undated", json={"acquired": "2018-10-12"}).json()["properties"]
    assert datetime.fromisoformat(dated["datetime"])
    assert not {"start_datetime", "end_datetime"} & dated.keys()


def test_bands_of_a_scene_say_what_their_numbers_mean(http: httpx.Client, scene: Path) -> None:
    with rasterio_open(scene, "r+") as file:
        file.scales, file.offsets = (1e-4,) * 4, (-0.1,) * 4
        file.descriptions = ("blue", "green", "red", "nir")
    item = put(http, "/v1/scenes/scaled", scene).json()
    stac.check(item)
    assert "bands" not in item["properties"]
    band = item["assets"]["data"]["bands"][0]
    assert (band["name"], band["description"], band["data_type"]) == ("blue", "blue", "uint16")
    assert (band["raster:scale"], band["raster:offset"]) == (1e-4, -0.1)
    assert band["statistics"]["maximum"] == pytest.approx(699 * 1e-4 - 0.1)
    plain = http.get("/v1/scenes/s1").json()
    assert "raster:scale" not in plain["assets"]["data"]["bands"][0]
    assert not any("/raster/" in uri for uri in plain["stac_extensions"])


def test_a_prediction_is_a_valid_item_before_and_after_its_job(http: httpx.Client) -> None:
    (item,) = http.get("/v1/predictions").json()["features"]
    stac.check(item)
    classes, probability = item["assets"]["classes.tif"], item["assets"]["probability.tif"]
    (band,) = classes["bands"]
    assert [(entry["value"], entry["title"], entry["color_hint"]) for entry in band["classification:classes"]] == [
        (0, "other", "000000"),
        (1, "sugarcane", "4CAF50"),
        (255, "unobserved", "BEBEBE"),
    ]
    assert classes["proj:shape"] == [64, 64]
    assert item["assets"]["web.tif"]["proj:code"] == "EPSG:3857"
    assert probability["bands"][0]["raster:scale"] == 1 / 250
    waiting = http.post("/v1/predictions", json={"scene": "s1", "model": "cane"}).json()
    stac.check(waiting)
    assert waiting["assets"] == {}


def test_items_and_their_lists_say_that_they_are_geojson(http: httpx.Client, scene: Path) -> None:
    (item,) = http.get("/v1/predictions").json()["features"]
    answers = [http.get(path) for path in ("/v1/scenes", "/v1/scenes/s1", "/v1/predictions", item["links"][0]["href"])]
    answers += [put(http, "/v1/scenes/new", scene), http.patch("/v1/scenes/new", json={"sensor": "GF-2"})]
    assert {answer.headers["content-type"] for answer in answers} == {"application/geo+json"}


def test_links_have_the_public_address(settings: Settings) -> None:
    with serving(settings.model_copy(update={"public_url": "https://maps.example.org/cane", "auth": "none"})) as http:
        (item,) = http.get("/v1/predictions").json()["features"]
    addresses = [link["href"] for link in item["links"]] + [asset["href"] for asset in item["assets"].values()]
    assert {address.partition("/v1/")[0] for address in addresses} == {"https://maps.example.org/cane"}
