"""/v1/scenes as a web portal uses it, on both databases."""

import base64
import hashlib
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest
from affine import Affine

from app.data import scenes
from app.services import Services
from app.storage import LocalStore
from ml.products.cog import to_cog
from tests.app.api.conftest import pixels, put
from tests.ml.conftest import MakeScene


def files(services: Services) -> list[Path]:
    return [path for path in (services.settings.data_dir / "store").rglob("*") if path.is_file()]


def test_an_uploaded_scene_is_a_stac_item(http: httpx.Client, scene: Path) -> None:
    answer = put(http, "/v1/scenes/s1", scene, acquired="2018-10-12", sensor="Beijing-2", bands="b,g,r,nir")
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/scenes/s1"
    item = answer.json()
    assert (item["type"], item["id"]) == ("Feature", "s1")
    assert item["properties"]["proj:code"] == "EPSG:32648"
    assert item["properties"]["proj:shape"] == [64, 64]
    assert item["properties"]["datetime"].startswith("2018-10-12T00:00:00")
    assert item["properties"]["gsd"] == pytest.approx(10, rel=1e-3)
    assert [band["name"] for band in item["assets"]["data"]["bands"]] == ["b", "g", "r", "nir"]
    assert {band["data_type"] for band in item["assets"]["data"]["bands"]} == {"uint16"}
    assert item["assets"]["data"]["file:checksum"] == "1220" + hashlib.sha256(scene.read_bytes()).hexdigest()
    assert http.get("/v1/scenes/s1").json() == item


def test_the_metrics_count_received_bytes(http: httpx.Client, scene: Path) -> None:
    def received() -> float:
        (line,) = [
            line for line in http.get("/metrics").text.splitlines() if line.startswith("canemap_upload_bytes_total")
        ]
        return float(line.split()[1])

    before = received()
    put(http, "/v1/scenes/s1", scene)
    assert received() - before == scene.stat().st_size


def test_the_same_bytes_again_are_the_same_scene_and_other_bytes_are_refused(
    http: httpx.Client, scene: Path, make_scene: MakeScene, services: Services
) -> None:
    assert put(http, "/v1/scenes/s1", scene).status_code == 201
    assert put(http, "/v1/scenes/s1", scene).status_code == 200
    other = put(http, "/v1/scenes/s1", make_scene(pixels(1), "other.tif"))
    assert other.status_code == 409
    assert other.json()["type"] == "name-taken"
    assert len(files(services)) == 1


def test_the_same_bytes_with_another_time_are_refused_and_not_answered_with_the_old_one(
    http: httpx.Client, scene: Path
) -> None:
    for _ in range(2):
        assert put(http, "/v1/scenes/s1", scene, acquired="2018-10-12", sensor="GF-2").status_code in (201, 200)
    for other in ({"acquired": "2019-10-12"}, {"sensor": "GF-1"}):
        refused = put(http, "/v1/scenes/s1", scene, **other)
        assert (refused.status_code, refused.json()["type"]) == (409, "name-taken")
        assert "PATCH" in refused.json()["detail"]


def test_a_scene_can_be_uploaded_as_a_multipart_form(http: httpx.Client, scene: Path) -> None:
    fields = {"id": "s1", "bands": "b,g,r,nir", "nodata": "0"}
    answer = http.post("/v1/scenes", data=fields, files={"file": ("any name.tif", scene.read_bytes())})
    assert answer.status_code == 201
    assert answer.json()["assets"]["data"]["bands"][3]["name"] == "nir"
    wrong = http.post("/v1/scenes", data={"id": "s2", "colour": "red"}, files={"file": scene.read_bytes()})
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["pointer"] == "/colour"


NO_GEOTIFFS = {
    b"this is a text file": "not_a_tiff",
    b"II*\x00\x08\x00\x00\x00": "corrupt_tiff",
    b"<VRTDataset/>": "not_a_tiff",
}


def test_a_file_that_is_no_geotiff_is_refused_and_not_stored(http: httpx.Client, services: Services) -> None:
    for content, code in NO_GEOTIFFS.items():
        answer = http.put("/v1/scenes/bad", content=content)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        fault = answer.json()["errors"][0]
        assert (fault["code"], bool(fault["hint"])) == (code, True), content
        assert http.get("/v1/scenes/bad").status_code == 404
        assert files(services) == []


def test_a_bad_name_is_refused_before_the_body_is_read(http: httpx.Client, services: Services) -> None:
    for name in ("..", "%2e%2e%2fetc", "a%00b", ".hidden", "a%20b"):
        assert http.put(f"/v1/scenes/{name}", content=b"x").status_code in (404, 405, 422), name
        assert files(services) == [], name


def test_an_unknown_parameter_is_refused_with_the_known_ones(http: httpx.Client, scene: Path) -> None:
    answer = put(http, "/v1/scenes/s1", scene, nodta="0")
    assert answer.status_code == 422
    assert "nodata" in answer.json()["errors"][0]["hint"]


def test_a_body_over_the_limit_is_refused_and_not_stored(http: httpx.Client, services: Services) -> None:
    def chunks() -> object:
        for _ in range(30):
            yield b"x" * 100_000

    assert http.put("/v1/scenes/big", content=b"x" * 3_000_000).status_code == 413
    assert http.put("/v1/scenes/big", content=chunks()).status_code == 413  # type: ignore[arg-type]
    assert files(services) == []


def test_an_upload_that_stalls_is_answered_with_408_and_not_stored(http: httpx.Client, services: Services) -> None:
    with socket.create_connection((http.base_url.host, http.base_url.port or 0)) as connection:
        connection.sendall(b"PUT /v1/scenes/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nII*")
        connection.settimeout(20)
        assert b"408" in connection.recv(1000)
    assert files(services) == []


def test_a_body_that_differs_from_its_content_digest_is_refused(http: httpx.Client, scene: Path) -> None:
    def digest(data: bytes) -> dict[str, str]:
        return {"Content-Digest": f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"}

    body = scene.read_bytes()
    assert http.put("/v1/scenes/s1", content=body, headers=digest(b"other")).json()["type"] == "digest-mismatch"
    assert http.put("/v1/scenes/s1", content=body, headers=digest(body)).status_code == 201


def test_scenes_are_listed_in_pages_and_filtered_by_box_and_time(
    http: httpx.Client, make_scene: MakeScene, scene: Path
) -> None:
    for day in (1, 2, 3):
        put(http, f"/v1/scenes/s{day}", make_scene(pixels(day), f"s{day}.tif"), acquired=f"2018-10-0{day}")
    first = http.get("/v1/scenes", params={"limit": 2})
    assert [item["id"] for item in first.json()["features"]] == ["s3", "s2"]
    following = http.get(first.links["next"]["url"])
    assert [item["id"] for item in following.json()["features"]] == ["s1"]
    assert following.json()["next"] is None

    def found(**parameters: str) -> set[str]:
        return {item["id"] for item in http.get("/v1/scenes", params=parameters).json()["features"]}

    west, south, east, north = first.json()["features"][0]["bbox"]
    assert found(bbox=f"{west},{south},{east},{north}") == {"s1", "s2", "s3"}
    assert found(bbox=f"{east + 1},{south},{east + 2},{north}") == set()
    assert found(datetime="2018-10-02/..") == {"s2", "s3"}
    assert found(datetime="../2018-10-01") == {"s1"}
    assert http.get("/v1/scenes", params={"bbox": "1,2,3"}).status_code == 422


def test_a_scene_across_the_date_line_is_found_on_both_sides(http: httpx.Client, make_scene: MakeScene) -> None:
    across = Affine(1e-4, 0, 179.9968, 0, -1e-4, -16)
    put(http, "/v1/scenes/fiji", make_scene(pixels(1), "fiji.tif", crs="EPSG:4326", transform=across))
    boxes = {"179,-17,180,-15": 1, "-180,-17,-179,-15": 1, "-180,-90,180,90": 1, "-179,-17,179,-15": 0}
    boxes |= {"179,-17,-179,-15": 1, "170,-17,-179.9999,-15": 1, "-170,-17,170,-15": 0, "179,0,-179,1": 0}
    found = {box: len(http.get("/v1/scenes", params={"bbox": box}).json()["features"]) for box in boxes}
    assert found == boxes


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32701", Affine(10, 0, 179_970, 0, -10, 8_134_930)),
        ("EPSG:4326", Affine(1e-4, 0, 359.9968 - 180, 0, -1e-4, -16)),
        ("EPSG:4326", Affine(1e-4, 0, -180.0032, 0, -1e-4, -16)),
    ],
)
def test_a_scene_across_the_date_line_is_found_by_its_own_box(
    http: httpx.Client, make_scene: MakeScene, crs: str, transform: Affine
) -> None:
    scene = put(http, "/v1/scenes/fiji", make_scene(pixels(1), "fiji.tif", crs=crs, transform=transform)).json()
    west, _, east, _ = scene["bbox"]
    assert west > 179 and east < -179
    own = ",".join(map(str, scene["bbox"]))
    assert [item["id"] for item in http.get("/v1/scenes", params={"bbox": own}).json()["features"]] == ["fiji"]
    for refused in ("181,0,-179,1", "179,0,-181,1", "179,2,-179,1", "nan,0,1,1"):
        assert http.get("/v1/scenes", params={"bbox": refused}).status_code == 422


def test_scenes_beside_the_date_line_touch_boxes_on_its_other_side(http: httpx.Client, make_scene: MakeScene) -> None:
    for name, west in (("east", -180.0), ("west", 180 - 64e-4)):
        there = Affine(1e-4, 0, west, 0, -1e-4, -16)
        put(http, f"/v1/scenes/{name}", make_scene(pixels(1), f"{name}.tif", crs="EPSG:4326", transform=there))
    for box in ("179.9,-17,180,-15", "-180,-17,-179.9,-15", "179.9,-17,-179.9,-15"):
        found = http.get("/v1/scenes", params={"bbox": box}).json()["features"]
        assert {item["id"] for item in found} == {"east", "west"}, box


INTERVALS = {
    "2018-10-12": True,
    "2018-10-11": False,
    "2018-10-13": False,
    "../2018-10-12": True,
    "../2018-10-11": False,
    "2018-10-12/..": True,
    "2018-10-13/..": False,
    "2018-10-12/2018-10-12": True,
    "2018-10-12T03:04:05Z": True,
    "2018-10-12t03:04:05z": True,
    "2018-10-12T03:04:05z": True,
    "2018-10-12T03:04:06Z/..": False,
    "../2018-10-12T11:04:05+08:00": True,
    "../2018-10-12T00:00:00Z": False,
    "/2018-10-12": True,
    "2018-10-12/": True,
    "../..": True,
}
"""Whether a scene of 2018-10-12T03:04:05Z is in an interval."""
NO_INTERVALS = (
    *("2018-10-13/2018-10-12", "2018-10-12T00:00:01Z/2018-10-12T00:00:00Z", "2018", "2018-10", "20181012"),
    *("2018-W41-5", "2018-10-12/2018-10-13/2018-10-14", "2018-10-12T", "yesterday", "2018-10-12T24:00:01Z"),
    "٢٠١٨-10-12",
)


def test_a_date_is_the_whole_day(http: httpx.Client, scene: Path) -> None:
    put(http, "/v1/scenes/s1", scene, acquired="2018-10-12T03:04:05Z")
    found = {each: bool(http.get("/v1/scenes", params={"datetime": each}).json()["features"]) for each in INTERVALS}
    assert found == INTERVALS


@pytest.mark.parametrize("kind", ["scenes", "predictions"])
def test_a_reversed_interval_and_anything_but_dates_and_times_are_refused(http: httpx.Client, kind: str) -> None:
    for interval in NO_INTERVALS:
        refused = http.get(f"/v1/{kind}", params={"datetime": interval})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "query:datetime"), interval


def test_a_patch_needs_the_newest_etag(http: httpx.Client, scene: Path) -> None:
    etag = put(http, "/v1/scenes/s1", scene).headers["etag"]
    patch = {"acquired": "2018-10-12T03:00:00Z"}
    changed = http.patch("/v1/scenes/s1", json=patch, headers={"If-Match": etag})
    assert changed.json()["properties"]["datetime"].startswith("2018-10-12T03")
    assert http.patch("/v1/scenes/s1", json=patch, headers={"If-Match": etag}).status_code == 412
    assert http.patch("/v1/scenes/s1", json=patch, headers={"If-Match": f'"{"1" * 5000}"'}).status_code == 412
    assert http.patch("/v1/scenes/s1", json={"acquired": "9999-12-31T23:59:59-23:59"}).status_code == 422
    assert http.patch("/v1/scenes/s1", json={"acquired": "yesterday"}).status_code == 422


def test_a_scene_is_not_acquired_in_the_future(http: httpx.Client, scene: Path) -> None:
    tomorrow, later = (f"{datetime.now(UTC) + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}" for hours in (20, 30))
    refused = put(http, "/v1/scenes/s1", scene, acquired=later)
    assert (refused.status_code, refused.json()["type"]) == (422, "invalid-datetime")
    assert put(http, "/v1/scenes/s1", scene, acquired=tomorrow).status_code == 201, "where the sun rises earlier"
    (fault,) = http.patch("/v1/scenes/s1", json={"acquired": later}).json()["errors"]
    assert fault["pointer"] == "/acquired" and "not come yet" in fault["detail"]
    assert http.get("/v1/scenes", params={"datetime": f"2018-01-01/{later}"}).json()["features"]


def test_a_range_that_is_not_understood_is_ignored(http: httpx.Client, scene: Path) -> None:
    put(http, "/v1/scenes/s1", scene)
    for span in ("lines=1-2", "bytes=", "bytes=x-y", "bytes 0-3", "bytes=9-3"):
        answer = http.get("/v1/scenes/s1/data", headers={"Range": span})
        assert answer.status_code == 200, span
        assert int(answer.headers["Content-Length"]) == len(answer.content)


def test_a_range_beyond_the_end_is_refused(http: httpx.Client, scene: Path) -> None:
    put(http, "/v1/scenes/s1", scene)
    answer = http.get("/v1/scenes/s1/data", headers={"Range": "bytes=999999999-"})
    assert answer.status_code == answer.json()["status"] == 416
    assert answer.headers["Content-Range"].startswith("bytes */")


def test_the_data_of_a_scene_is_a_cog_and_can_be_read_in_ranges(
    http: httpx.Client, scene: Path, tmp_path: Path
) -> None:
    put(http, "/v1/scenes/s1", scene)
    whole = http.get("/v1/scenes/s1/data")
    part = http.get("/v1/scenes/s1/data", headers={"Range": "bytes=0-3"})
    assert part.status_code == 206
    assert part.content == whole.content[:4]
    (tmp_path / "data.tif").write_bytes(whole.content)
    from ml.geo.raster import open_raster

    with open_raster(tmp_path / "data.tif") as dataset, open_raster(scene) as original:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert np.array_equal(dataset.read(), original.read())


def test_a_scene_that_is_a_cog_is_served_as_it_is(
    http: httpx.Client, scene: Path, tmp_path: Path, services: Services
) -> None:
    to_cog(scene, tmp_path / "cog.tif")
    put(http, "/v1/scenes/s1", tmp_path / "cog.tif")
    content = (tmp_path / "cog.tif").read_bytes()
    assert http.get("/v1/scenes/s1/data").content == content
    with services.database.write() as session:  # as a version stored it that did not look for this
        row = scenes.get(session, "s1")
        row.info = row.info.model_copy(update={"cog": None})
    assert http.get("/v1/scenes/s1/data").content == content
    cache = services.settings.data_dir / "cache"
    assert [each.name for each in cache.iterdir() if not each.name.startswith("lock-")] == []


def test_a_deleted_scene_leaves_no_files(http: httpx.Client, scene: Path, services: Services) -> None:
    put(http, "/v1/scenes/s1", scene)
    http.get("/v1/scenes/s1/data")
    assert http.delete("/v1/scenes/s1").status_code == 204
    assert http.delete("/v1/scenes/s1").status_code == 404
    assert files(services) == []


@pytest.mark.parametrize("kind", ["scenes", "labels"])
def test_concurrent_uploads_to_one_name_store_only_one_file(
    http: httpx.Client, services: Services, make_scene: MakeScene, kind: str
) -> None:
    masks = [np.full((1, 64, 64), number % 2, np.uint8) for number in range(4)]
    images = masks if kind == "labels" else [pixels(seed) for seed in (0, 1, 0, 1)]
    sent = [make_scene(image, f"{number}.tif") for number, image in enumerate(images)]
    with ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(lambda file: put(http, f"/v1/{kind}/same", file), sent))
    assert sorted(answer.status_code for answer in answers) == [200, 201, 409, 409]
    assert isinstance(services.store, LocalStore)
    assert len(list(services.store.keys(f"{kind}/same/"))) == 1
