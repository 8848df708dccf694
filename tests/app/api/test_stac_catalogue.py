"""/v1/stac as pystac-client uses it, on both databases and a real server."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from affine import Affine
from pystac_client import Client

from tests import stac
from tests.app.api.conftest import TINY, Perform, copy_of_service, on, pixels, put, serving
from tests.app.api.conftest import trained as settings
from tests.ml.conftest import MakeScene

__all__ = ["settings"]
Json = dict[str, Any]


@pytest.fixture
def catalogue(http: httpx.Client) -> Client:
    """The catalogue of the service, opened by pystac-client."""
    return Client.open(f"{http.base_url}/v1/stac".replace("//v1", "/v1"))


def around(item: Json, by: float = 0.0) -> list[float]:
    west, south, east, north = item["bbox"]
    return [west + by, south + by, east + by, north + by]


def test_every_document_of_the_catalogue_is_valid(http: httpx.Client, catalogue: Client) -> None:
    stac.check(http.get("/v1/stac").json())
    names = set()
    for collection in catalogue.get_collections():
        own = f"/v1/stac/collections/{collection.id}"
        stac.check(http.get(own).json())
        items = http.get(f"{own}/items").json()["features"]
        assert items or collection.id == "surveys"
        for item in items:
            stac.check(item)
            assert http.get(f"{own}/items/{item['id']}").json() == item
            names.add((collection.id, item["id"]))
    assert {("scenes", "s1"), ("models", "cane:1")} < names
    assert len([name for name, _ in names if name == "predictions"]) == 1


def test_the_root_names_its_collections(http: httpx.Client) -> None:
    """Clients that show links as they are, as the browser of QGIS 3.40 does, have no other title."""
    titles = {link["href"]: link["title"] for link in http.get("/v1/stac").json()["links"] if link["rel"] == "child"}
    assert titles and all(httpx.get(href).json()["title"] == title for href, title in titles.items())


def test_items_of_the_catalogue_are_the_documents_of_the_resources(http: httpx.Client, catalogue: Client) -> None:
    for name in ("scenes", "predictions"):
        for item in http.get(f"/v1/stac/collections/{name}/items").json()["features"]:
            assert http.get(f"/v1/{name}/{item['id']}").json() == item


def test_pystac_client_walks_from_the_root_to_every_item(catalogue: Client) -> None:
    assert catalogue.conforms_to("ITEM_SEARCH") and catalogue.conforms_to("COLLECTIONS")
    found = {item.id for collection in catalogue.get_collections() for item in collection.get_items()}
    assert {"s1", "s2", "s3", "cane:1"} < found
    collection = catalogue.get_collection("scenes")
    assert collection is not None and collection.get_item("s1") is not None
    assert {item.id for item in catalogue.search().items()} == found


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pystac_client_finds_by_box_time_and_id(
    http: httpx.Client, catalogue: Client, make_scene: MakeScene, method: str
) -> None:
    there = Affine(10, 0, 600_000, 0, -10, 2_600_000)
    item = put(http, "/v1/scenes/there", make_scene(pixels(9), "9.tif", transform=there), acquired="2018-10-12").json()

    def found(**wanted: Any) -> set[str]:
        return {each.id for each in catalogue.search(method=method, **wanted).items()}

    assert found(bbox=around(item)) == {"there"}
    assert found(bbox=around(item, 1.0)) == set()
    assert found(datetime="2018-10", collections=["scenes"]) == {"there"}
    assert found(datetime="2017-01-01/2018-01-01") == set()
    assert found(ids=["s2", "there", "cane:1", "nothing"]) == {"s2", "there", "cane:1"}
    assert found(collections=["models"]) == {"cane:1"}
    assert found(intersects=item["geometry"]) == {"there"}
    assert found(intersects={"type": "Point", "coordinates": [0, 0]}) == set()
    s1 = http.get("/v1/scenes/s1").json()
    maps = {each["id"] for each in http.get("/v1/predictions").json()["features"]}
    assert found(bbox=around(s1)) == {"s1", "s2", "s3", "cane:1"} | maps
    assert found(intersects=s1["geometry"]) == {"s1", "s2", "s3", "cane:1"} | maps


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("by", [{}, {"intersects": {"type": "Point", "coordinates": [0, 0]}}])
def test_pystac_client_pages_through_all_collections(
    http: httpx.Client, catalogue: Client, method: str, by: Json
) -> None:
    if by:
        west, south, east, north = around(http.get("/v1/scenes/s1").json())
        by = {"intersects": {"type": "Point", "coordinates": [(west + east) / 2, (south + north) / 2]}}
    pages = list(catalogue.search(method=method, limit=2, **by).pages())
    ids = [item.id for page in pages for item in page]
    assert len(ids) == len(set(ids)) == 5
    assert [len(page) for page in pages] == [2, 2, 1]


def test_a_model_lies_where_it_was_trained_and_an_imported_one_nowhere(http: httpx.Client) -> None:
    bundle = http.get("/v1/models/cane/versions/1/bundle").content
    http.post("/v1/models/7-other/versions", content=bundle)
    url = "/v1/stac/collections/models/items"
    trained, imported = (http.get(f"{url}/{name}").json() for name in ("cane:1", "7-other:1"))
    for item in (trained, imported):
        stac.check(item)
        assert item["properties"]["mlm:output"][0]["classification:classes"][1]["title"] == "sugarcane"
        assert item["properties"]["mlm:hyperparameters"]["net"] == TINY["net"]
    assert trained["bbox"] == pytest.approx(http.get("/v1/scenes/s1").json()["bbox"])
    assert imported["geometry"] is None and "bbox" not in imported


def test_a_map_is_in_the_catalogue_when_it_exists(http: httpx.Client, do: Perform) -> None:
    made = http.post("/v1/predictions", json={"scene": "s2", "model": "cane"}).json()["id"]
    items = "/v1/stac/collections/predictions/items"
    assert made not in {item["id"] for item in http.get(items).json()["features"]}
    do(made)
    assert made in {item["id"] for item in http.get(items).json()["features"]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"bbox": [1, 2, 3]},
        {"bbox": [0, 0, 1, 1], "intersects": {"type": "Point", "coordinates": [0, 0]}},
        {"intersects": {"type": "Point"}},
        {"intersects": {}},
        {"intersects": {"type": "Circle", "coordinates": [0, 0]}},
        {"intersects": {"type": "Point", "coordinates": ["a", None]}},
        {"intersects": {"type": "Point", "coordinates": []}},
        {"intersects": {"type": "Point", "coordinates": [200, 0]}},
        {"intersects": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}},
        {"intersects": {"type": "Polygon", "coordinates": 7}},
        {"intersects": {"type": "GeometryCollection", "geometries": [1]}},
        {"intersects": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 1], [1, 0], [0, 0]]]}},
        {"datetime": "yesterday"},
        {"limit": 0},
        {"token": "nonsense"},
        {"token": "scenes.nonsense"},
        {"colour": "red"},
    ],
)
def test_a_wrong_search_is_refused(http: httpx.Client, wrong: Json) -> None:
    answer = http.post("/v1/stac/search", json=wrong)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["errors"]


def test_a_limit_above_the_largest_is_no_fault_and_what_is_unknown_is_not_found(http: httpx.Client) -> None:
    assert http.get("/v1/stac/search?limit=5000").status_code == 200
    assert http.get("/v1/stac/search?bbox=100,20,-50,120,30,50").status_code == 200  # with heights
    for path in ("collections/fields", "collections/fields/items", "collections/scenes/items/none"):
        assert http.get(f"/v1/stac/{path}").status_code == 404
    for item in ("none:1", "cane:99", "none", "cane", "cane:@champion", "a%00b"):
        assert http.get(f"/v1/stac/collections/models/items/{item}").status_code == 404


def test_an_empty_service_has_an_empty_catalogue_that_is_valid(migrated_sqlite: str, tmp_path: Path) -> None:
    with (
        copy_of_service(on(migrated_sqlite), tmp_path) as empty,
        serving(empty.model_copy(update={"data_dir": tmp_path / "data"})) as http,
    ):
        for path in ("", "/collections/scenes", "/collections/predictions", "/collections/models"):
            stac.check(http.get(f"/v1/stac{path}").json())
        assert http.get("/v1/stac/search").json()["features"] == []
