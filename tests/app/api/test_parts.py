"""Predictions in parts: several workers share the jobs, and the map is the same as from one job."""

import httpx
import pytest

from app.jobs import claims
from app.services import Services
from app.storage import LocalStore
from tests.app.api.conftest import Perform, pixels, put
from tests.app.api.conftest import trained as settings
from tests.app.documents import problem
from tests.ml.conftest import MakeScene

__all__ = ["settings"]
ROWS = 200


@pytest.fixture
def parts(http: httpx.Client, make_scene: MakeScene) -> list[str]:
    """The jobs of the three parts of a prediction of the scene "tall"."""
    put(http, "/v1/scenes/tall", make_scene(pixels(seed=7, size=ROWS), "tall.tif"))
    answer = ask(http, parts=3)
    assert answer.status_code == 201, answer.text
    return parts_of(http, answer.json()["id"])


def ask(http: httpx.Client, **more: object) -> httpx.Response:
    return http.post("/v1/predictions", json={"scene": "tall", "model": "cane:1", **more})


def parts_of(http: httpx.Client, prediction: str) -> list[str]:
    """The ids of the parts of a prediction, from the top down."""
    items = http.get("/v1/jobs", params={"processID": "part"}).json()["items"]
    return [item["jobID"] for item in reversed(items) if item["parent"] == prediction]


def prediction_of(http: httpx.Client, part: str) -> str:
    return str(http.get(f"/v1/jobs/{part}").json()["parent"])


def resume_files(services: Services) -> list[str]:
    """The keys in the store of what predictions can be resumed from."""
    assert isinstance(services.store, LocalStore)
    return list(services.store.keys("resume/prd_"))


def assert_same_status(http: httpx.Client, prediction: str, status: str) -> None:
    """The STAC Item, the lists and the metrics have the status of the job."""
    item = http.get(f"/v1/predictions/{prediction}").json()
    assert (item["properties"]["status"], item["job"]["status"]) == (status, status)
    found = http.get("/v1/predictions", params={"status": status}).json()["features"]
    assert [item["id"] for item in found] == [prediction]
    listed = http.get("/v1/jobs", params={"status": status, "processID": "prediction"}).json()["items"]
    assert [(item["jobID"], item["status"]) for item in listed] == [(prediction, status)]
    assert f'canemap_jobs{{kind="prediction",status="{status}"}} 1.0' in http.get("/metrics").text


def test_a_prediction_says_that_its_scene_is_unlike_the_training(http: httpx.Client, make_scene: MakeScene) -> None:
    put(http, "/v1/scenes/like", make_scene(pixels(seed=7), "like.tif"))
    put(http, "/v1/scenes/tall", make_scene(pixels(seed=7) * 7, "tall.tif"))
    like = http.post("/v1/predictions", json={"scene": "like", "model": "cane:1"}).json()["properties"]
    unlike = ask(http).json()
    assert "warnings" not in like
    (note,) = unlike["properties"]["warnings"]
    assert note["code"] == "unlike_training" and "in training" in note["detail"]
    assert http.get("/v1/predictions").json()["features"][0]["properties"] == unlike["properties"]


def test_a_prediction_in_parts_has_the_same_files_as_one_made_by_a_single_job(
    http: httpx.Client, parts: list[str], do: Perform, services: Services
) -> None:
    prediction = prediction_of(http, parts[0])
    url = f"/v1/predictions/{prediction}"
    for number, part in enumerate(parts):
        job = http.get(f"/v1/jobs/{prediction}").json()
        assert (job["status"], job["done"]) == ("running" if number else "accepted", number)
        assert_same_status(http, prediction, job["status"])
        do(part)
        assert http.get(f"/v1/jobs/{part}/results").json()["prediction"]["href"].endswith(url)
    assert len(resume_files(services)) == 3
    do(prediction)
    assert http.get(f"/v1/jobs/{prediction}").json()["status"] == "successful"
    assert resume_files(services) == []
    whole = ask(http).json()["id"]
    do(whole)
    for name in ("classes.tif", "probability.tif", "polygons.geojson", "web.tif"):
        assert http.get(f"{url}/{name}").content == http.get(f"/v1/predictions/{whole}/{name}").content, name
    made_by = [http.get(f"/v1/predictions/{id_}").json()["properties"]["software"] for id_ in (prediction, whole)]
    assert made_by[0] == made_by[1]
    assert {"engine", "precision", "threads", "processes", "cpu", "instructions"} <= made_by[0].keys()
    assert http.get(f"{url}/areas").json() == http.get(f"/v1/predictions/{whole}/areas").json()
    assert http.delete(url).status_code == 204
    assert [http.get(f"/v1/jobs/{id_}").status_code for id_ in (prediction, *parts)] == [404] * 4


def test_a_part_that_fails_fails_the_prediction_and_its_other_parts(
    http: httpx.Client, parts: list[str], do: Perform, services: Services
) -> None:
    with services.database.write() as session:  # as a worker does that cannot map the part
        claim = claims.claim(session, parts[0])
        assert claim is not None
        claims.fail(session, claim, problem("No good."))
    for job in (*parts[1:], prediction_of(http, parts[0])):
        do(job)
        ended = http.get(f"/v1/jobs/{job}").json()
        assert ended["status"] == "failed"
        assert parts[0] in ended["error"]["detail"]
        assert "No good." in ended["error"]["detail"]


def test_dismissing_a_prediction_dismisses_its_unfinished_parts(
    http: httpx.Client, parts: list[str], do: Perform
) -> None:
    do(parts[0])
    prediction = prediction_of(http, parts[0])
    assert http.delete(f"/v1/jobs/{prediction}").json()["status"] == "dismissed"
    statuses = [http.get(f"/v1/jobs/{part}").json()["status"] for part in parts]
    assert statuses == ["successful", "dismissed", "dismissed"]


def test_more_parts_than_rows_allow_are_refused(http: httpx.Client, parts: list[str]) -> None:
    problem = ask(http, parts=4).json()
    assert (problem["status"], problem["type"]) == (422, "too-many-parts")
    assert "3 at most" in problem["errors"][0]["hint"]
    assert ask(http, parts=0).status_code == 422
