"""Titles: every resource can have a name for people, in any script; on both databases."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from app.settings import Settings
from tests.app.api.conftest import DATASET, TINY, Perform, put
from tests.app.api.test_models import bundle as bundle
from tests.app.api.test_problems import assert_problem

TITLE, OTHER = "武鸣甘蔗 2018 · อ้อย · गन्ना", "宾阳 🌾"
MAKE: dict[str, tuple[str, dict[str, Any]]] = {  # a POST that makes a resource of each kind
    "datasets": (
        "/v1/datasets",
        {
            "name": "gx",
            "scenes": ["s1", "s2", "s3"],
            "labels": ["truth"],
            "split": {"by": "scene", "train": ["s1"], "val": ["s2"], "test": ["s3"]},
            "leaks": "allow",
        },
    ),
    "trainings": ("/v1/trainings", {"dataset": DATASET, "config": TINY}),
    "experiments": ("/v1/experiments", {"dataset": DATASET, "config": TINY, "seeds": [0], "lovasz_weights": [0, 1]}),
    "evaluations": ("/v1/models/cane/versions/1/evaluations", {"dataset": DATASET}),
    "predictions": ("/v1/predictions", {"scene": "s1", "model": "cane:1"}),
    "schedules": ("/v1/schedules", {"name": "monthly", "cron": "0 2 1 * *", "training": {"dataset": "gx"}}),
}
STORED = ("/v1/scenes/s1", "/v1/labels/truth", f"/v1/datasets/{DATASET}", "/v1/models/cane")
VERSION = "/v1/models/cane/versions/1"


@pytest.fixture
def settings(trained: Settings) -> Settings:
    """A service that has scenes, labels, a dataset, a model and a prediction, on both databases."""
    return trained


def title_of(document: dict[str, Any]) -> str | None:
    """The title in a document, which STAC Items have among their properties."""
    found: str | None = document.get("properties", document).get("title")
    return found


def in_list(http: httpx.Client, path: str, document: dict[str, Any]) -> str | None:
    """The title that the list of the kind shows for a resource."""
    page = http.get(path.rpartition("/")[0]).json()
    (found,) = [item for item in page.get("items", page.get("features")) if item["id"] == document["id"]]
    return title_of(found)


@pytest.mark.parametrize("kind", MAKE)
def test_what_is_made_by_a_body_has_the_title_of_the_body(http: httpx.Client, kind: str) -> None:
    url, body = MAKE[kind]
    made = http.post(url, json=body | {"title": f" {TITLE}　"})
    assert made.status_code == 201, made.text
    path = made.headers["location"]
    for document in (made.json(), http.get(path).json()):
        assert title_of(document) == TITLE
    if kind != "evaluations":  # which are listed by version
        assert in_list(http, path, made.json()) == TITLE
    assert_changes(http, path)


def assert_changes(http: httpx.Client, path: str) -> None:
    """Check that PATCH changes the title, that null removes it, and that each is another state of the resource."""
    before = http.get(path).headers["etag"]
    changed = http.patch(path, json={"title": OTHER}, headers={"If-Match": before})
    assert changed.status_code == 200, changed.text
    assert title_of(changed.json()) == title_of(http.get(path).json()) == OTHER
    assert changed.headers["etag"] == http.get(path).headers["etag"] != before
    assert_problem(http.patch(path, json={"title": "late"}, headers={"If-Match": before}), 412)
    assert_problem(http.delete(path, headers={"If-Match": before}), 412)
    assert title_of(http.get(path).json()) == OTHER
    assert title_of(http.patch(path, json={"title": None}).json()) is None
    assert title_of(http.get(path).json()) is None


def test_what_was_made_without_a_title_has_none_and_can_get_one(http: httpx.Client) -> None:
    training = http.get("/v1/trainings").json()["items"][0]["id"]
    prediction = http.get("/v1/predictions").json()["features"][0]["id"]
    for path in (*STORED, VERSION, f"/v1/trainings/{training}", f"/v1/predictions/{prediction}"):
        assert title_of(http.get(path).json()) is None
        assert_changes(http, path)
    assert "title" not in http.get("/v1/scenes/s1").json()["properties"], "STAC knows no null as a title"


def test_models_and_versions_have_titles_of_their_own(http: httpx.Client, bundle: Path) -> None:
    http.patch("/v1/models/cane", json={"title": TITLE})
    sent = http.post("/v1/models/cane/versions", params={"title": OTHER}, content=bundle.read_bytes())
    assert (sent.status_code, sent.json()["title"]) == (201, OTHER)
    for model in (http.get("/v1/models/cane").json(), http.get("/v1/models").json()["items"][0]):
        assert (model["title"], model["versions"][0]["title"]) == (TITLE, OTHER)
    assert http.patch("/v1/models/cane/versions/@champion", json={"title": "第一"}).json()["version"] == 1
    http.delete("/v1/models/cane", params={"cascade": True}).raise_for_status()
    again = http.post("/v1/models/cane/versions", content=bundle.read_bytes())
    assert again.status_code == 201
    assert http.get("/v1/models/cane").json()["title"] is None, "the title of a deleted model must not come back"


@pytest.mark.parametrize("kind", ["scenes", "labels"])
def test_a_file_gets_its_title_by_query_or_form_and_keeps_it(
    http: httpx.Client, scene: Path, mask: Path, kind: str
) -> None:
    file = scene if kind == "scenes" else mask
    sent = put(http, f"/v1/{kind}/raw", file, title=TITLE)
    assert (sent.status_code, title_of(sent.json())) == (201, TITLE)
    for title in (None, OTHER):  # the same bytes: the title is no content of the file
        again = put(http, f"/v1/{kind}/raw", file, **({"title": title} if title else {}))
        assert (again.status_code, title_of(again.json())) == (200, TITLE)
        assert again.headers["etag"] == sent.headers["etag"]
    assert in_list(http, f"/v1/{kind}/raw", sent.json()) == TITLE
    assert_changes(http, f"/v1/{kind}/raw")
    form = {"id": "form", "title": TITLE}
    posted = http.post(f"/v1/{kind}", data=form, files={"file": ("x.tif", file.read_bytes())})
    assert (posted.status_code, title_of(posted.json())) == (201, TITLE)


@pytest.mark.parametrize("kind", ["scenes", "labels"])
def test_a_title_in_another_encoding_is_refused_and_not_garbled(
    http: httpx.Client, scene: Path, mask: Path, kind: str
) -> None:
    content = (scene if kind == "scenes" else mask).read_bytes()
    for encoded in (quote("武鸣".encode("gbk")), "%C0%80", "%ff"):
        problem = assert_problem(http.put(f"/v1/{kind}/new?title={encoded}", content=content), 422)
        assert [(fault["code"], fault["pointer"]) for fault in problem["errors"]] == [("invalid_text", "query:title")]
    assert http.put(f"/v1/{kind}/new?title=%EF%BF%BD", content=content).status_code == 201, "this is UTF-8"


@pytest.mark.parametrize(
    "title",
    [
        "",
        " ",
        "x" * 201,
        "a\nb",
        "a\tb",
        "\u200b",
        "a\x00b",
        "a\u2028b",
        "a\u202eb",
        "\u2067a",
        "\x1b[31mred",
        7,
        ["a"],
    ],
)
def test_a_title_that_is_none_is_refused_everywhere(http: httpx.Client, scene: Path, title: Any) -> None:
    for path in (*STORED, VERSION):
        assert_problem(http.patch(path, json={"title": title}), 422)
    for url, body in MAKE.values():
        assert_problem(http.post(url, json=body | {"title": title}), 422)
    if isinstance(title, str):
        problem = assert_problem(put(http, "/v1/scenes/new", scene, title=title), 422)
        assert [error["pointer"] for error in problem["errors"]] == ["query:title"]
    assert http.get("/v1/scenes/new").status_code == 404


@pytest.mark.parametrize("path", [*STORED, VERSION])
def test_of_two_who_read_the_same_state_only_one_changes_the_title(http: httpx.Client, path: str) -> None:
    match = {"If-Match": http.get(path).headers["etag"]}
    with ThreadPoolExecutor(4) as pool:
        sent = list(pool.map(lambda title: http.patch(path, json={"title": title}, headers=match), "甲乙丙丁"))
    assert sorted(answer.status_code for answer in sent) == [200, 412, 412, 412]
    (winner,) = [answer for answer in sent if answer.is_success]
    assert title_of(http.get(path).json()) == title_of(winner.json())


def test_a_title_of_200_characters_beyond_the_basic_plane_is_kept(http: httpx.Client) -> None:
    long = "𠮷" * 200
    assert http.patch(f"/v1/datasets/{DATASET}", json={"title": long}).json()["title"] == long


def test_patch_says_what_it_cannot_change(http: httpx.Client) -> None:
    assert_problem(http.patch("/v1/trainings/trn_none", json={"title": TITLE}), 404)
    assert_problem(http.patch("/v1/models/none", json={"title": TITLE}), 404)
    assert_problem(http.patch("/v1/models/cane/versions/9", json={"title": TITLE}), 404)
    assert assert_problem(http.patch("/v1/datasets/gx", json={"title": TITLE}), 422)["type"] == "version-needed"
    for body in ({}, {"title": TITLE, "name": "other"}):
        assert_problem(http.patch(f"/v1/datasets/{DATASET}", json=body), 422)


def test_a_scene_keeps_its_title_when_something_else_is_corrected(http: httpx.Client) -> None:
    http.patch("/v1/scenes/s1", json={"title": TITLE})
    assert title_of(http.patch("/v1/scenes/s1", json={"sensor": "GF-2"}).json()) == TITLE


def test_a_schedule_titles_its_trainings(http: httpx.Client) -> None:
    training = {"dataset": "gx", "config": TINY, "title": TITLE}
    http.post("/v1/schedules", json=MAKE["schedules"][1] | {"training": training}).raise_for_status()
    run = http.post("/v1/schedules/monthly/run").json()
    assert http.get(f"/v1/trainings/{run['training']}").json()["title"] == TITLE


def test_a_map_is_named_by_the_title_of_its_prediction(http: httpx.Client, do: Perform) -> None:
    config = {"outputs": ["classes", "tiles"]}
    body = {"scene": "s1", "model": "cane:1", "config": config, "title": TITLE}
    id_ = http.post("/v1/predictions", json=body).json()["id"]
    do(id_)
    assert http.get(f"/v1/predictions/{id_}/tilejson.json").json()["name"] == TITLE


def test_the_figures_of_an_experiment_name_variants_whatever_its_trainings_are_called(
    http: httpx.Client, do: Perform
) -> None:
    body = MAKE["experiments"][1] | {"lovasz_weights": [0]}
    experiment = http.post("/v1/experiments", json=body).json()
    for run in experiment["runs"]:
        assert http.patch(f"/v1/trainings/{run['training']}", json={"title": TITLE}).status_code == 200
        do(run["training"])
    do(experiment["id"])
    base = f"/v1/experiments/{experiment['id']}/figures"
    assert {item["name"] for item in http.get(base).json()["items"]} >= {"table", "panels"}
    assert http.get(f"{base}/panels.png").status_code == 200
