"""The map tiles of a prediction over HTTP."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from app.settings import Settings
from ml.geo.raster import open_raster
from ml.products.web_tiles import WebTiles
from tests.app.api.conftest import Perform, copy_of_service

Json = dict[str, Any]


@pytest.fixture
def settings(trained_sqlite: Settings, tmp_path: Path) -> Iterator[Settings]:
    """Of a service that has a prediction. Only SQLite: tiles are files."""
    with copy_of_service(trained_sqlite, tmp_path) as settings:
        yield settings


@pytest.fixture
def url(http: httpx.Client) -> str:
    """The path of a prediction that has map tiles."""
    (item,) = http.get("/v1/predictions").json()["features"]
    return f"/v1/predictions/{item['id']}"


def predicted(http: httpx.Client, do: Perform, config: Json) -> str:
    answer = http.post("/v1/predictions", json={"scene": "s1", "model": "cane", "config": config})
    do(answer.json()["id"])
    return answer.headers["location"]


def rgba(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGBA"))


def first_tile(tilejson: Json) -> tuple[int, int, int]:
    """Zoom, x and y of the tile with the north-western corner of the map, at its largest zoom."""
    zoom, (west, _, _, north) = tilejson["maxzoom"], tilejson["bounds"]
    y = 0.5 - np.arcsinh(np.tan(np.radians(north))) / (2 * np.pi)
    return zoom, int((west / 360 + 0.5) * 2**zoom), int(y * 2**zoom)


def test_a_tile_has_the_same_pixels_in_the_file_as_webp_and_as_png(
    http: httpx.Client, url: str, tmp_path: Path
) -> None:
    tilejson = http.get(f"{url}/tilejson.json").json()
    zoom, x, y = first_tile(tilejson)
    (tmp_path / "web.tif").write_bytes(http.get(f"{url}/web.tif").content)
    expected = WebTiles(tmp_path / "web.tif").read(zoom, x, y)
    address = tilejson["tiles"][0].format(z=zoom, x=x, y=y)
    assert address.startswith(str(http.base_url))
    answer = http.get(address)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
    assert answer.content == expected
    png = http.get(address.replace(".webp", ".png"))
    assert png.headers["content-type"] == "image/png"
    assert np.array_equal(rgba(png.content), rgba(answer.content))
    assert rgba(png.content)[..., 3].any()


def test_the_uncertainty_has_tiles_of_its_own(http: httpx.Client, do: Perform, url: str) -> None:
    layer = {"layer": "uncertainty"}
    absent = http.get(f"{url}/tilejson.json", params=layer)
    assert (absent.status_code, absent.json()["errors"][0]["code"]) == (404, "no_tiles")
    other = predicted(http, do, {"outputs": ["classes", "tiles", "uncertainty"]})
    tilejson = http.get(f"{other}/tilejson.json", params=layer).json()
    zoom, x, y = first_tile(tilejson)
    address = tilejson["tiles"][0].format(z=zoom, x=x, y=y)
    tile, plain = http.get(address), http.get(address.removesuffix("?layer=uncertainty"))
    assert (tile.status_code, plain.status_code) == (200, 200)
    assert tile.headers["etag"] != plain.headers["etag"]
    assert set(map(tuple, rgba(tile.content)[rgba(tile.content)[..., 3] > 0][:, :3].tolist())) == {(170, 0, 120)}
    assert http.get(f"{other}/preview.png", params=layer).content != http.get(f"{other}/preview.png").content
    asset = http.get(other).json()["assets"]["uncertainty.tif"]
    assert (asset["bands"][0]["raster:scale"], asset["bands"][0]["nodata"]) == (0.004, 255)
    assert http.get(f"{other}/tilejson.json", params={"layer": "doubt"}).status_code == 422


def test_a_client_that_has_a_tile_need_not_fetch_it_again(http: httpx.Client, url: str) -> None:
    zoom, x, y = first_tile(http.get(f"{url}/tilejson.json").json())
    address = f"{url}/tiles/WebMercatorQuad/{zoom}/{x}/{y}.webp"
    first = http.get(address)
    assert "immutable" in first.headers["cache-control"]
    again = http.get(address, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert http.get(address, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_tile_is_transparent_where_the_map_shows_nothing(http: httpx.Client, url: str) -> None:
    zoom = http.get(f"{url}/tilejson.json").json()["maxzoom"]
    answer = http.get(f"{url}/tiles/WebMercatorQuad/{zoom}/0/0.webp")
    assert answer.status_code == 200
    assert rgba(answer.content).shape == (256, 256, 4)
    assert not rgba(answer.content).any()


def test_a_tile_with_numbers_out_of_range_is_not_found(http: httpx.Client, url: str) -> None:
    zoom = http.get(f"{url}/tilejson.json").json()["maxzoom"]
    side = 2**zoom
    for numbers in (f"{zoom + 1}/0/0", f"{zoom}/-1/0", f"{zoom}/0/{side}", f"{zoom}/{side}/0", "99999999/0/0"):
        answer = http.get(f"{url}/tiles/WebMercatorQuad/{numbers}.webp")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), numbers


def test_tilejson_stac_and_preview_agree(http: httpx.Client, url: str) -> None:
    item, tilejson = http.get(url).json(), http.get(f"{url}/tilejson.json").json()
    assert tilejson["tilejson"] == "3.0.0"
    assert tilejson["bounds"] == item["bbox"]
    assert http.get(f"{url}/tiles/WebMercatorQuad/tilejson.json").json() == tilejson
    assert http.get(f"{url}/tilejson.json", params={"tile_format": "png"}).json()["tiles"][0].endswith("{y}.png")
    links = {link["rel"]: link["href"] for link in item["links"]}
    assert http.get(links["tilejson"]).json() == tilejson
    assert tilejson["tiles"][0] == links["xyz"]
    preview = rgba(http.get(f"{url}/preview.png", params={"max_size": 64}).content)
    assert max(preview.shape[:2]) <= 64
    assert preview[..., 3].any()
    assert http.get(f"{url}/preview.png", params={"max_size": 9999}).status_code == 422


def test_a_prediction_without_tiles_answers_404_with_a_hint(http: httpx.Client, url: str, do: Perform) -> None:
    other = predicted(http, do, {"outputs": ["classes"]})
    for path in ("tilejson.json", "preview.png", "sheet.pdf", "tiles/WebMercatorQuad/0/0/0.webp"):
        answer = http.get(f"{other}/{path}")
        assert answer.status_code == 404
        assert '"tiles"' in answer.json()["errors"][0]["hint"]
    assert "xyz" not in {link["rel"] for link in http.get(other).json()["links"]}
    waiting = http.post("/v1/predictions", json={"scene": "s1", "model": "cane"}).headers["location"]
    assert http.get(f"{waiting}/tilejson.json").json()["type"] == "result-not-ready"
    assert http.get(f"{waiting}/sheet.pdf").json()["type"] == "result-not-ready"
    assert http.get("/v1/predictions/none/preview.png").status_code == 404


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_map_sheet_is_a_page_in_each_format(http: httpx.Client, url: str, lang: str) -> None:
    page = http.get(f"{url}/sheet.png", params={"lang": lang, "paper": "a3", "title": "甘蔗 =1+1 $x$"})
    assert page.status_code == 200, page.text
    assert rgba(page.content).shape[:2] == (2338, 3307)  # an A3 page at 200 dots per inch
    printed = http.get(f"{url}/sheet.pdf", params={"lang": lang})
    assert (printed.headers["content-type"], printed.content[:5]) == ("application/pdf", b"%PDF-")
    assert http.get(f"{url}/sheet.gif").status_code == 422


def test_tiles_are_deleted_with_their_prediction(http: httpx.Client, url: str) -> None:
    assert http.get(f"{url}/preview.png").status_code == 200
    assert http.delete(url).status_code == 204
    assert http.get(f"{url}/preview.png").status_code == 404


def test_the_file_of_the_tiles_is_a_product_and_a_cog(http: httpx.Client, url: str, tmp_path: Path) -> None:
    (tmp_path / "web.tif").write_bytes(http.get(f"{url}/web.tif").content)
    with open_raster(tmp_path / "web.tif") as cog:
        assert (cog.crs.to_epsg(), cog.count) == (3857, 4)
        assert cog.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_files_that_a_product_never_has_are_not_found(http: httpx.Client, url: str) -> None:
    for ending in ("aux.xml", "ovr", "msk", "tfw", "AUX.XML"):
        for answer in (http.get(f"{url}/classes.tif.{ending}"), http.head(f"{url}/classes.tif.{ending}")):
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    for path in (f"{url}/classes.tfw", f"{url}/classes", f"{url}/a%00b", "/v1/scenes/s1/data.aux.xml"):
        assert http.get(path).status_code == 404, path
