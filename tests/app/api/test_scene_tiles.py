"""The map tiles of a scene over HTTP."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from affine import Affine
from PIL import Image

from app.settings import Settings
from ml.geo.raster import open_raster
from ml.products.scene_picture import SceneFile, Style, draw, tile_place
from ml.products.web_grid import MAX_ZOOM
from tests import stac
from tests.app.api.conftest import pixels, put, serving
from tests.ml.conftest import MakeScene
from tests.waiting import slowdown

Json = dict[str, Any]
POLAR = {"crs": "EPSG:3413", "transform": Affine(10, 0, 0, 0, -10, 200_000)}  # at 88 degrees north
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # tiles are files


def add(http: httpx.Client, scene: Path, name: str = "s1", **parameters: str) -> str:
    """Upload a scene; returns its path."""
    assert put(http, f"/v1/scenes/{name}", scene, **parameters).status_code == 201
    return f"/v1/scenes/{name}"


def rgba(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
        return np.asarray(image.convert("RGBA"))


def tile_in(tilejson: Json) -> tuple[int, int, int]:
    """Zoom, column and row of the tile in the middle of the bounds, at the largest zoom."""
    zoom, (west, south, east, north) = tilejson["maxzoom"], tilejson["bounds"]
    y = 0.5 - np.arcsinh(np.tan(np.radians((north + south) / 2))) / (2 * np.pi)
    return zoom, int(((west + east) / 720 + 0.5) * 2**zoom), int(y * 2**zoom)


def middle_tile(http: httpx.Client, url: str) -> str:
    zoom, x, y = tile_in(http.get(f"{url}/tilejson.json").json())
    return f"{url}/tiles/WebMercatorQuad/{zoom}/{x}/{y}.png"


def test_a_tile_shows_the_bands_that_the_names_call_red_green_and_blue(http: httpx.Client, scene: Path) -> None:
    url = add(http, scene, bands="b,g,r,nir")
    address = middle_tile(http, url)
    answer = http.get(address)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    zoom, x, y = tile_in(http.get(f"{url}/tilejson.json").json())
    with open_raster(scene) as dataset:
        values = dataset.read()
    extremes = tuple((float(band.min()), float(band.max())) for band in values)
    file = SceneFile(scene, None, ("b", "g", "r", "nir"), extremes)
    expected = draw(file, Style(bands=(2, 1, 0)), tile_place(zoom, x, y))
    assert expected.ranges == tuple(tuple(np.percentile(values[band], [2, 98])) for band in (2, 1, 0))
    assert np.array_equal(rgba(answer.content), expected.pixels)
    assert rgba(answer.content)[..., 3].any()
    for same in ("bands=r,g,b", "bands=3,2,1", "bands=R,G,B", "stretch=p2,p98", "bands=3,2,1&stretch=p2,p98.0"):
        assert http.get(f"{address}?{same}").content == answer.content, same
    for other in ("bands=nir,r,g", "bands=4", "stretch=p0,p100", "stretch=0,3000", "stretch=0,900,0,800,0,700"):
        assert rgba(http.get(f"{address}?{other}").content).shape == (256, 256, 4), other
        assert http.get(f"{address}?{other}").content != answer.content, other


@pytest.mark.parametrize(("count", "same"), [(1, "1"), (2, "1"), (3, "1,2,3"), (5, "1,2,3")])
def test_without_names_the_first_three_bands_are_shown_or_else_the_first(
    http: httpx.Client, make_scene: MakeScene, count: int, same: str
) -> None:
    address = middle_tile(http, add(http, make_scene(np.repeat(pixels(0), 2, axis=0)[:count])))
    assert http.get(address).content == http.get(address, params={"bands": same}).content


def test_all_faults_of_a_query_are_told_at_once(http: httpx.Client, scene: Path) -> None:
    url = add(http, scene)
    expected = [("query:bands", "unknown_band")] * 2 + [("query:stretch", "bad_stretch")]
    for path in ("preview.png", "tilejson.json", "tiles/WebMercatorQuad/0/0/0.png"):
        answer = http.get(f"{url}/{path}", params={"bands": "1,swir,9", "stretch": "5,5"})
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
        errors = answer.json()["errors"]
        assert [(error["pointer"], error["code"]) for error in errors] == expected
        assert "swir" in errors[0]["detail"]
        assert "1, 2, 3, 4" in errors[0]["hint"]
    answer = http.get(f"{url}/preview.png", params={"bands": "1,2,3,4", "stretch": "x", "max_size": "3000"})
    places = [error["pointer"] for error in answer.json()["errors"]]
    assert sorted(places) == ["query:bands", "query:max_size", "query:stretch"]
    answer = http.get(f"{url}/preview.png", params={"band": "1", "stretch": "x"})
    assert sorted(error["pointer"] for error in answer.json()["errors"]) == ["query:band", "query:stretch"]


@pytest.mark.parametrize(
    "query",
    [
        *("bands=", "bands=1,2", "bands=1,2,3,4", "bands=0", "bands=5", "bands=-1", "bands=1;2;3", "bands=%00"),
        *("stretch=", "stretch=5", "stretch=9,1", "stretch=1,1", "stretch=nan,1", "stretch=1,inf", "stretch=p2,98"),
        *("stretch=p98,p2", "stretch=p2,p101", "stretch=p-1,p5", "stretch=1,2,3", "stretch=1,2,3,4"),
        *("stretch=0,1,0,1,1,0", "stretch=0,1e99", "bands=1&stretch=0,1,0,1,0,1", "stretch=2%25,98%25"),
        *("max_size=15", "max_size=2049", "rescale=0,1", "bands=1&bands=2"),
    ],
)
def test_a_wrong_query_is_refused(http: httpx.Client, scene: Path, query: str) -> None:
    url = add(http, scene)
    answer = http.get(f"{url}/preview.png?{query}")
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"].startswith("query:")


def test_a_client_that_has_a_picture_need_not_fetch_it_again(http: httpx.Client, scene: Path) -> None:
    url = add(http, scene)
    tile = middle_tile(http, url)
    tags, preview = set(), f"{url}/preview.png"
    for address in (tile, f"{tile}?bands=1", f"{tile}?stretch=0,9", preview, f"{preview}?max_size=50"):
        first = http.get(address)
        assert first.headers["cache-control"] == "no-cache"
        again = http.get(address, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert http.get(address, headers={"If-None-Match": '"other"'}).status_code == 200
        head = http.head(address)
        assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", first.headers["etag"])
        tags.add(first.headers["etag"])
    assert len(tags) == 5


def test_another_scene_of_the_same_name_has_other_tags(http: httpx.Client, scene: Path, make_scene: MakeScene) -> None:
    url = add(http, scene)
    tile = middle_tile(http, url)
    before = http.get(tile)
    assert http.delete(url).status_code == 204
    assert http.get(tile).status_code == 404
    add(http, make_scene(pixels(seed=9), "other.tif"))
    after = http.get(tile, headers={"If-None-Match": before.headers["etag"]})
    assert after.status_code == 200
    assert after.content != before.content


def test_a_tile_that_the_scene_does_not_touch_is_transparent(http: httpx.Client, scene: Path) -> None:
    url = add(http, scene)
    zoom, x, y = tile_in(http.get(f"{url}/tilejson.json").json())
    for numbers in (f"{zoom}/{x + 9}/{y}", f"{zoom}/{x}/{y - 9}", f"{MAX_ZOOM}/0/0", "1/0/0"):
        answer = http.get(f"{url}/tiles/WebMercatorQuad/{numbers}.png")
        assert answer.status_code == 200
        assert rgba(answer.content).shape == (256, 256, 4)
        assert not rgba(answer.content).any(), numbers


def test_larger_zooms_than_the_scene_has_enlarge_its_pixels(http: httpx.Client, scene: Path) -> None:
    url = add(http, scene)
    tilejson = http.get(f"{url}/tilejson.json").json()
    zoom, x, y = tile_in(tilejson | {"maxzoom": tilejson["maxzoom"] + 4})
    image = rgba(http.get(f"{url}/tiles/WebMercatorQuad/{zoom}/{x}/{y}.png", params={"bands": "1"}).content)
    assert image[..., 3].all()
    assert 1 < len(np.unique(image[..., 0])) < 500


def test_a_tile_with_numbers_out_of_range_is_not_found(http: httpx.Client, scene: Path) -> None:
    url = add(http, scene)
    for numbers in (f"{MAX_ZOOM + 1}/0/0", "3/-1/0", "3/0/8", "3/8/0", "-1/0/0", "99999999/0/0"):
        answer = http.get(f"{url}/tiles/WebMercatorQuad/{numbers}.png")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), numbers
    assert http.get("/v1/scenes/none/preview.png").status_code == 404


def test_tilejson_stac_and_preview_agree(http: httpx.Client, scene: Path) -> None:
    url = add(http, scene, title="武鸣 2018")
    item, tilejson = http.get(url).json(), http.get(f"{url}/tilejson.json").json()
    stac.check(item)
    assert (tilejson["tilejson"], tilejson["name"], tilejson["bounds"]) == ("3.0.0", "武鸣 2018", item["bbox"])
    assert http.get(f"{url}/tiles/WebMercatorQuad/tilejson.json").json() == tilejson
    links = {link["rel"]: link["href"] for link in item["links"]}
    assert http.get(links["tilejson"]).json() == tilejson
    assert tilejson["tiles"] == [links["xyz"]]
    thumbnail = item["assets"]["thumbnail"]
    assert (thumbnail["roles"], thumbnail["type"]) == (["thumbnail"], "image/png")
    assert rgba(http.get(thumbnail["href"]).content)[..., 3].any()
    assert max(rgba(http.get(f"{url}/preview.png", params={"max_size": 40}).content).shape[:2]) == 40


def test_the_tiles_of_a_tilejson_are_drawn_as_it_was_asked_for(http: httpx.Client, scene: Path) -> None:
    url = add(http, scene)
    query = {"bands": "4,3,2", "stretch": "p1,p99"}
    tilejson = http.get(f"{url}/tilejson.json", params=query).json()
    zoom, x, y = tile_in(tilejson)
    asked = http.get(tilejson["tiles"][0].format(z=zoom, x=x, y=y))
    assert asked.content == http.get(middle_tile(http, url), params=query).content


def test_a_scene_across_the_date_line_has_tiles_on_both_sides(http: httpx.Client, make_scene: MakeScene) -> None:
    across = Affine(1e-3, 0, 179.968, 0, -1e-3, -16)
    url = add(http, make_scene(pixels(0), crs="EPSG:4326", transform=across))
    tilejson = http.get(f"{url}/tilejson.json").json()
    assert tilejson["bounds"][::2] == [-180, 180]
    zoom, _, y = tile_in(tilejson)
    for x, side in ((0, slice(0, 20)), (2**zoom - 1, slice(-20, None))):
        tile = rgba(http.get(f"{url}/tiles/WebMercatorQuad/{zoom}/{x}/{y}.png").content)
        assert tile[:, side, 3].any()
    preview = rgba(http.get(f"{url}/preview.png").content)
    assert preview[5:-5, 5:-5, 3].all()


def test_a_scene_beyond_the_85th_parallels_has_no_tiles(http: httpx.Client, make_scene: MakeScene) -> None:
    url = add(http, make_scene(pixels(0), **POLAR))
    item = http.get(url).json()
    stac.check(item)
    assert "xyz" not in {link["rel"] for link in item["links"]}
    assert set(item["assets"]) == {"data"}
    for path in ("preview.png", "tilejson.json", "tiles/WebMercatorQuad/0/0/0.png"):
        answer = http.get(f"{url}/{path}")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "no_tiles")


def test_a_scene_that_takes_too_much_to_read_is_refused_and_not_a_fault_of_the_service(
    settings: Settings, make_scene: MakeScene
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1, 4000, 4000), dtype=np.uint8)
    file = make_scene(noise, tiled=True, blockxsize=2048, blockysize=2048, compress="deflate")
    with serving(settings.model_copy(update={"upload_limit_bytes": 1 << 30})) as http:
        url = add(http, file)
        tile = middle_tile(http, url)
        assert http.get(f"{url}/data").status_code == 200
    little = {"upload_limit_bytes": 1 << 30, "inspection_memory_bytes": 1 << 20}
    with serving(settings.model_copy(update=little)) as http:
        answer = http.get(tile)
        assert (answer.status_code, answer.json()["type"]) == (422, "inspection-limit")
        assert http.get("/healthz").status_code == 200


def test_many_tiles_at_once_leave_uploads_and_the_service_responsive(
    settings: Settings, scene: Path, make_scene: MakeScene
) -> None:
    with serving(settings.model_copy(update={"inspection_wait_s": 1.0})) as http, ThreadPoolExecutor(40) as pool:
        url = add(http, scene)
        zoom, x, y = tile_in(http.get(f"{url}/tilejson.json").json())
        address, bound = f"{url}/tiles/WebMercatorQuad/{zoom}/{x}/{y}.png", slowdown()
        tiles = [pool.submit(http.get, address, params={"stretch": f"0,{most}"}) for most in range(1, 121)]
        assert http.get("/healthz", timeout=bound).status_code == 200
        assert put(http, "/v1/scenes/s2", make_scene(pixels(seed=3), "s2.tif")).status_code == 201
        assert not all(tile.done() for tile in tiles), "the upload came in while tiles were being drawn"
        answers = [tile.result() for tile in tiles]
    assert {answer.status_code for answer in answers} == {200, 503}
    assert {answer.headers["retry-after"] for answer in answers if answer.status_code == 503} == {"5"}
