"""Samples of a map: drawn, labelled from a known truth, estimated, and checked by an own computation."""

import csv
import io
import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import rasterio
from PIL import Image
from sqlalchemy import func, select

from app.services import Services
from app.storage import new_place
from app.tables import Job, ModelVersion, Prediction, Sample, SampleAnswer
from ml.evaluation.metrics import Metrics
from ml.products.write import class_areas_ha
from ml.sampling.chip import GAP_PX, SIDE_PX
from tests.app.api.conftest import TRUTH, Perform, copy_of_service, do_as_worker, serving
from tests.app.api.test_models import bundle as bundle
from tests.app.api.test_problems import assert_problem
from tests.app.api.test_titles import assert_changes
from tests.ml.sampling.maps import with_errors, write_map

NAMES = ("other", "sugarcane")
MAP = "classes.tif"
KNOWN = np.where(TRUTH[0] == 255, 0, TRUTH[0])  # the truth at every pixel, also where it was no label


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def services(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Of a service that has a model and its map of s1, once on SQLite and once on PostgreSQL, for all tests here."""
    with copy_of_service(
        request.getfixturevalue(f"trained_{request.param}"), tmp_path_factory.mktemp("samples")
    ) as settings:
        opened = Services.open(settings)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def http(services: Services) -> Iterator[httpx.Client]:
    with serving(services.settings) as client:
        yield client


@pytest.fixture(scope="module")
def do(services: Services) -> Perform:
    """A function that does one job as the process of a worker does, in this process."""
    return partial(do_as_worker, services)


@pytest.fixture(scope="module")
def prediction(http: httpx.Client, services: Services, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of a prediction of s1, whose map is replaced by one with known errors: the tiny net maps one class."""
    id_ = str(http.get("/v1/predictions?status=successful").json()["features"][-1]["id"])  # the first that was made
    path = write_map(tmp_path_factory.mktemp("map") / MAP, with_errors(KNOWN))
    with services.database.write() as session:
        row = session.get_one(Prediction, id_)
        stored = services.store.put(path, new_place("predictions", id_, MAP))
        row.products = {**(row.products or {}), MAP: stored}
        version = session.get_one(ModelVersion, (row.model, row.version))
        tested = Metrics.from_confusion(np.array([[1900, 100], [200, 1800]]))
        version.metrics = version.metrics.model_copy(update={"test": tested})
    return id_


def draw(http: httpx.Client, do: Perform, map_: str, **design: object) -> str:
    """Draw a sample; returns its address."""
    made = http.post("/v1/samples", json={"map": map_, "design": {"n": 200, **design}})
    assert made.status_code == 201, made.text
    assert (made.json()["n"], made.json()["job"]["status"]) == (None, "accepted")
    do(made.json()["id"])
    path = made.headers["location"]
    assert http.get(path).json()["job"]["status"] == "successful", http.get(path).text
    return str(path)


def table(answer: httpx.Response) -> list[dict[str, str]]:
    """The rows of a CSV."""
    assert answer.status_code == 200, answer.text
    assert answer.content.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    text_ = io.StringIO()
    writer = csv.DictWriter(text_, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return text_.getvalue().encode()


def filled(http: httpx.Client, path: str) -> list[dict[str, str]]:
    """The file of points with the true classes."""
    rows = table(http.get(f"{path}/points?f=csv"))
    return [row | {"class": NAMES[KNOWN[int(row["row"]), int(row["col"])]]} for row in rows]


def answered(http: httpx.Client, path: str, rows: list[dict[str, str]], labeller: str = "main") -> dict[str, Any]:
    sent = http.put(f"{path}/answers", content=as_csv(rows), params={"labeller": labeller})
    assert sent.status_code == 200, sent.text
    report: dict[str, Any] = sent.json()
    return report


def by_wilson(truly: dict[str, list[int]], strata: dict[str, Any]) -> tuple[float, float]:
    """The interval of a stratified sample from those of its strata: the p with |p - share| = 1.96 errors of p."""
    cane, below, above = 0.0, 0.0, 0.0
    for key, found in truly.items():
        area, share = strata[key]["area_ha"], np.mean(found)
        points = len(found) / (1 - len(found) / strata[key]["pixels"])
        spread = 1.96**2 / points
        low, high = sorted(np.roots([1 + spread, -(2 * share + spread), share**2]).real)
        cane += area * share
        below, above = below + (area * (share - low)) ** 2, above + (area * (high - share)) ** 2
    return cane - math.sqrt(below), cane + math.sqrt(above)


@pytest.mark.parametrize("kind", ["stratified", "random", "systematic"])
def test_the_estimate_from_true_answers_is_that_of_an_own_computation(
    http: httpx.Client, do: Perform, prediction: str, kind: str
) -> None:
    path = draw(http, do, prediction, kind=kind)
    sample = http.get(path).json()
    report = answered(http, path, filled(http, path))
    assert (report["answered"], report["left"], report["changed"]) == (sample["n"], 0, sample["n"])
    made = http.get(f"{path}/estimates").json()
    assert made["notes"] == [] or {note["code"] for note in made["notes"]} == {"points_in_training"}

    points = table(http.get(f"{path}/points?f=csv&map_class=true"))
    strata = {stratum["key"]: stratum for stratum in sample["strata"]}
    truly = {
        key: [KNOWN[int(row["row"]), int(row["col"])] for row in points if row["stratum"] == key] for key in strata
    }
    whole = sum(stratum["area_ha"] for stratum in strata.values())
    cane = sum(strata[key]["area_ha"] * np.mean(found) for key, found in truly.items())
    variance = sum(
        strata[key]["area_ha"] ** 2 * (1 - len(found) / strata[key]["pixels"]) * np.var(found, ddof=1) / len(found)
        for key, found in truly.items()
    )
    row = made["items"][1]
    assert (row["class"], row["method"], row["n"]) == ("sugarcane", kind, len(points))
    assert row["estimated_ha"] == pytest.approx(cane, rel=1e-7)
    assert row["se_ha"] == pytest.approx(math.sqrt(variance), rel=1e-7)
    assert row["cv"] == pytest.approx(math.sqrt(variance) / cane)
    if kind == "stratified":
        low, high = by_wilson(truly, strata)
    else:
        low, high = (cane + side * 1.96 * math.sqrt(variance) for side in (-1, 1))
    assert row["ci95_ha"] == pytest.approx([low, high], rel=1e-6)
    assert row["estimated_mu"] == pytest.approx(15 * cane)
    assert sum(each["estimated_ha"] for each in made["items"]) == pytest.approx(whole)
    assert np.sum(made["matrix"]["counts"]) == len(points) and np.sum(made["matrix"]["shares"]) == pytest.approx(1)
    for point in points:
        assert float(point["inclusion"]) == pytest.approx(strata[point["stratum"]]["inclusion"])
    if kind != "systematic":
        assert [len(truly[key]) / strata[key]["pixels"] for key in truly] == [
            pytest.approx(strata[key]["inclusion"]) for key in truly
        ]
    right = KNOWN.mean() * whole
    assert abs(cane - right) < 4 * math.sqrt(variance)


def test_strata_may_be_ranges_of_probability(http: httpx.Client, do: Perform, prediction: str) -> None:
    path = draw(http, do, prediction, strata="probability", n=60, min_per_stratum=2)
    strata = http.get(path).json()["strata"]
    assert all(stratum["name"].startswith("probability ") for stratum in strata)
    assert sum(stratum["pixels"] for stratum in strata) == http.get(path).json()["frame"]["pixels"]
    answered(http, path, filled(http, path))
    row = http.get(f"{path}/estimates").json()["items"][1]
    assert (row["method"], row["n"]) == ("stratified", 60)
    assert row["estimated_ha"] is not None


def test_a_sample_of_clusters_has_the_error_between_them(http: httpx.Client, do: Perform, prediction: str) -> None:
    path = draw(http, do, prediction, kind="cluster", n=80, cluster_px=8, per_cluster=4)
    answered(http, path, filled(http, path))
    sample, row = http.get(path).json(), http.get(f"{path}/estimates").json()["items"][1]
    points = table(http.get(f"{path}/points?f=csv"))
    clusters = [int(point["cluster"]) for point in points]
    assert clusters == sorted(clusters) and set(clusters) <= set(range(1, 21))
    drawn = len(set(clusters))
    assert sample["strata"][0]["clusters"] >= 64 and sample["expected"] == []
    truly = np.array([KNOWN[int(point["row"]), int(point["col"])] for point in points], dtype=float)
    share = truly.mean()
    sums = np.bincount(clusters, truly - share)  # of deviations, by cluster
    se = math.sqrt(drawn / (drawn - 1) * (sums**2).sum()) / len(points) * sample["frame"]["area_ha"]
    assert (row["method"], row["n"]) == ("cluster", len(points))
    assert row["estimated_ha"] == pytest.approx(share * sample["frame"]["area_ha"])
    assert row["se_ha"] == pytest.approx(se)


def test_the_frame_is_the_map(http: httpx.Client, do: Perform, prediction: str, tmp_path: Path) -> None:
    frame = http.get(draw(http, do, prediction)).json()["frame"]
    map_ = tmp_path / MAP
    map_.write_bytes(http.get(f"/v1/predictions/{prediction}/classes.tif").content)
    with rasterio.open(map_) as file:
        image = file.read(1)
    assert frame["class_pixels"] == {"0": (image == 0).sum(), "1": (image == 1).sum()}
    area = class_areas_ha(map_)
    assert frame["class_area_ha"] == {"0": pytest.approx(area[0]), "1": pytest.approx(area[1])}
    assert frame["area_ha"] == pytest.approx(area[0] + area[1])


def test_nothing_tells_a_labeller_what_the_map_says(http: httpx.Client, do: Perform, prediction: str) -> None:
    path = draw(http, do, prediction, allocation="equal")
    for f in ("csv", "geojson", "kml"):
        plain, told = (http.get(f"{path}/points?f={f}&map_class={shown}").text for shown in ("false", "true"))
        for word in ("map_class", "stratum", "inclusion", "sugarcane"):
            assert word not in plain and word in told, (f, word)
    assert "map_class" not in str(http.get(f"{path}/points").json())
    assert http.get(f"{path}/points?f=gpkg").content.startswith(b"SQLite format 3")
    first = [row["map_class"] for row in table(http.get(f"{path}/points?f=csv&map_class=true"))][:100]
    assert 25 < first.count("sugarcane") < 75, "the order of the ids is by chance"


def test_the_same_map_design_and_seed_give_the_same_points_also_after_a_retry(
    http: httpx.Client, do: Perform, prediction: str, services: Services
) -> None:
    path = draw(http, do, prediction, seed=3)
    points, id_ = http.get(f"{path}/points").json(), path.rpartition("/")[2]
    assert http.get(f"{draw(http, do, prediction, seed=3)}/points").json() == points
    assert http.get(f"{draw(http, do, prediction, seed=4)}/points").json() != points
    with services.database.write() as session:  # as if its worker had died before it could record anything
        row = session.get_one(Sample, id_)
        row.drawn = row.points = None
        session.get_one(Job, id_).status = "failed"
    assert http.get(f"{path}/points").status_code == 404
    assert http.post(f"/v1/jobs/{id_}/retry").status_code == 201
    do(id_)
    assert http.get(f"{path}/points").json() == points


def test_points_on_labels_of_the_training_are_flagged_and_said(
    http: httpx.Client, do: Perform, prediction: str
) -> None:
    path = draw(http, do, prediction)
    features = http.get(f"{path}/points").json()["features"]
    for feature in features:  # s1 is the scene of the training, of which the last row is not labelled
        assert feature["properties"]["in_training"] == (feature["properties"]["row"] < 63)
    assert [note["code"] for note in http.get(path).json()["notes"]] == ["points_in_training"]


def test_it_is_said_when_the_training_is_not_known(
    http: httpx.Client, do: Perform, prediction: str, bundle: Path
) -> None:
    assert http.post("/v1/models/other/versions", content=bundle.read_bytes()).status_code == 201
    map_ = http.post("/v1/predictions", json={"scene": "s2", "model": "other:1"}).json()["id"]
    do(map_)
    path = draw(http, do, map_)
    assert [note["code"] for note in http.get(path).json()["notes"]] == ["training_unknown"]
    assert http.get(f"{path}/points").json()["features"][0]["properties"]["in_training"] is None


def test_answers_may_be_partial_and_keep_their_history(http: httpx.Client, do: Perform, prediction: str) -> None:
    path = draw(http, do, prediction)
    none = http.get(f"{path}/estimates").json()
    assert none["items"][1]["estimated_ha"] is None and "no sample point" in none["items"][1]["why"]
    rows = filled(http, path)
    assert answered(http, path, rows[:120])["left"] == 80
    rows[0] |= {"class": "", "unusable": "云 covers it"}
    rows[1] |= {"class": NAMES[rows[1]["class"] == "other"]}
    report = answered(http, path, rows[:130])
    assert (report["changed"], report["answered"], report["unusable"], report["left"]) == (12, 129, 1, 70)
    assert answered(http, path, rows[:130])["changed"] == 0, "the same answers again are nothing new"
    made = http.get(f"{path}/estimates").json()
    assert (made["answered"], made["unusable"], made["left"]) == (129, 1, 70)
    assert {"partly_answered", "unusable_points"} <= {note["code"] for note in made["notes"]}
    assert made["items"][1]["estimated_ha"] is not None
    listed = http.get(f"{path}/answers").json()["items"]
    assert listed[0] == {"id": 1, "labeller": "main", "class": None, "unusable": "云 covers it", "at": listed[0]["at"]}
    every = http.get(f"{path}/answers?history=true").json()["items"]
    assert [item["id"] for item in every].count(1) == [item["id"] for item in every].count(2) == 2
    assert len(listed) == 130 and len(every) == 132
    assert [row["id"] for row in table(http.get(f"{path}/answers?f=csv"))][:3] == ["1", "2", "3"]


def test_several_labellers_are_compared_and_what_they_dispute_is_not_estimated(
    http: httpx.Client, do: Perform, prediction: str
) -> None:
    path = draw(http, do, prediction)
    rows = filled(http, path)
    answered(http, path, rows, "李")
    other = [row | {"class": NAMES[row["class"] == "other"]} if int(row["id"]) <= 10 else row for row in rows]
    report = answered(http, path, other, "王")
    assert report["disputed"] == list(range(1, 11)) and report["left"] == 10
    (found,) = report["agreement"]
    assert (found["one"], found["other"], found["points"]) == ("李", "王", 200) and found["agreed"] == pytest.approx(
        0.95
    )
    assert 0.5 < found["kappa"] < 0.95
    refused = assert_problem(http.get(f"{path}/estimates"), 409)
    assert refused["type"] == "disputed-answers" and len(refused["errors"]) == 10
    own = http.get(f"{path}/estimates", params={"labeller": "李"}).json()
    assert own["labeller"] == "李" and own["answered"] == 200
    assert_problem(http.get(f"{path}/estimates?labeller=nobody"), 404)
    report = answered(http, path, rows[:10], "agreed")
    assert (report["disputed"], report["left"], len(report["agreement"])) == ([], 0, 1)
    assert http.get(f"{path}/estimates").json()["items"] == own["items"]


def test_wrong_answers_are_refused_all_at_once_and_nothing_is_recorded(
    http: httpx.Client, do: Perform, prediction: str
) -> None:
    path = draw(http, do, prediction)
    rows = "id,class,unusable\n1,other,\n201,other,\n2,rice,\n"
    problem = assert_problem(http.put(f"{path}/answers", content=rows), 422)
    assert [(fault["code"], fault["pointer"]) for fault in problem["errors"]] == [
        ("unknown_point", "/3"),
        ("unknown_class", "/4"),
    ]
    assert http.get(f"{path}/answers").json()["items"] == []
    for body in ("", "{}", "[1]", '{"features": [', "\0", "id;class\nx;other"):
        assert http.put(f"{path}/answers", content=body).status_code in (400, 422), body
    geojson = http.get(f"{path}/points").json()
    geojson["features"][4]["properties"]["class"] = 1
    assert http.put(f"{path}/answers", content=json.dumps(geojson)).json()["changed"] == 1
    assert http.get(f"{path}/answers").json()["items"][0]["class"] == "sugarcane"


def test_answers_of_two_who_read_the_same_state_are_kept_apart(
    http: httpx.Client, do: Perform, prediction: str, services: Services
) -> None:
    path = draw(http, do, prediction)
    match = {"If-Match": http.get(f"{path}/answers").headers["etag"]}
    of_sample = {"If-Match": http.get(path).headers["etag"]}
    assert http.put(f"{path}/answers", content="id,class\n", headers=of_sample).json()["changed"] == 0
    with ThreadPoolExecutor(4) as pool:
        sent = list(
            pool.map(
                lambda name: (
                    http.put(
                        f"{path}/answers", content="id,class\n1,0\n", params={"labeller": name}, headers=match
                    ).status_code
                ),
                "abcd",
            )
        )
    assert sorted(sent) == [200, 412, 412, 412]
    with ThreadPoolExecutor(4) as pool:
        same = list(
            pool.map(lambda _: http.put(f"{path}/answers", content="id,class\n2,0\n").json()["changed"], range(4))
        )
    assert sorted(same) == [0, 0, 0, 1]
    with services.database.read() as session:
        here = SampleAnswer.sample == path.rpartition("/")[2]
        assert session.scalar(select(func.count()).where(here)) == 2


def test_estimates_are_also_a_table_and_a_map(http: httpx.Client, do: Perform, prediction: str) -> None:
    path = draw(http, do, prediction)
    answered(http, path, filled(http, path))
    items = http.get(f"{path}/estimates").json()["items"]
    rows = table(http.get(f"{path}/estimates?f=csv"))
    assert [row["class"] for row in rows] == list(NAMES)
    assert float(rows[1]["estimated_ha"]) == pytest.approx(items[1]["estimated_ha"], abs=1e-4)
    assert float(rows[1]["ci95_low_ha"]) == pytest.approx(items[1]["ci95_ha"][0], abs=1e-4)
    chinese = table(http.get(f"{path}/estimates?f=csv&lang=zh"))
    assert "估计面积（公顷）" in chinese[0] and not [name for name in chinese[0] if name.isascii() and "_" in name]
    features = http.get(f"{path}/estimates?f=geojson").json()["features"]
    assert features[1]["properties"] == items[1] and features[1]["geometry"]["type"] == "Polygon"


def test_a_chip_shows_the_pixel_of_the_point_and_what_is_around_it(
    http: httpx.Client, do: Perform, prediction: str
) -> None:
    path = draw(http, do, prediction)
    places = [feature["properties"] for feature in http.get(f"{path}/points").json()["features"]]
    bright = next(place["id"] for place in places if 4 < place["col"] < 28)  # the left half of s1 is bright
    dark = next(place["id"] for place in places if 36 < place["col"] < 60)
    colours = {}
    for id_ in (bright, dark):
        got = http.get(f"{path}/chips/{id_}.png")
        assert (got.status_code, got.headers["content-type"]) == (200, "image/png"), got.text
        picture = np.asarray(Image.open(io.BytesIO(got.content)).convert("RGB")).astype(int)
        assert picture.shape == (SIDE_PX, 2 * SIDE_PX + GAP_PX, 3)
        middle = SIDE_PX // 2
        colours[id_] = picture[middle, middle].sum()
        row = picture[middle, middle - 12 : middle + 12]
        assert ((row[:, 0] > 200) & (row[:, 2] < 60)).sum() >= 2, "the pixel is outlined in yellow"
    assert colours[bright] > colours[dark] + 150
    tag = {"If-None-Match": got.headers["etag"]}
    assert http.get(f"{path}/chips/{dark}.png", headers=tag).status_code == 304
    assert http.get(f"{path}/chips/{dark}.png?stretch=0,5000&bands=1", headers=tag).status_code == 200
    assert_problem(http.get(f"{path}/chips/0.png"), 404)
    wrong = assert_problem(http.get(f"{path}/chips/1.png?bands=purple"), 422)
    assert [fault["pointer"] for fault in wrong["errors"]] == ["query:bands"]


def test_a_target_gives_the_size(http: httpx.Client, do: Perform, prediction: str) -> None:
    expected = http.get(draw(http, do, prediction, n=None, target_cv=0.03)).json()["expected"]
    assert 0.029 < expected[1]["cv"] <= 0.03
    assert [each["class_name"] for each in expected] == list(NAMES)


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        (
            {"map": "srv_1", "zones": "counties"},
            {"unknown_map", "not_by_zone", "unknown_zones", "size_of_sample"},
        ),
        ({"map": "prd_1", "design": {"strata": "class_x_zone", "n": 90}}, {"unknown_map", "no_zones"}),
        ({"map": "prd_1", "design": {"n": 5, "target_cv": 0.1}}, {"unknown_map", "size_of_sample"}),
        (
            {"map": "prd_1", "design": {"kind": "random", "n": 50, "allocation": "equal", "min_per_stratum": 5}},
            {"unknown_map", "not_stratified"},
        ),
        (
            {"map": "prd_1", "design": {"kind": "cluster", "target_cv": 0.1, "per_cluster": 9, "cluster_px": 2}},
            {"unknown_map", "size_of_clusters"},
        ),
        ({"map": "prd_1", "design": {"kind": "random", "n": 5, "cluster_px": 5}}, {"unknown_map", "not_clustered"}),
        ({"map": "prd_1", "design": {"kind": "blocks", "n": 5}}, {"literal_error"}),
        ({"map": "prd_1", "design": {"n": 10_001, "colour": 1}}, {"less_than_equal", "extra_forbidden"}),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_all_faults(
    http: httpx.Client, body: dict[str, Any], faults: set[str]
) -> None:
    problem = assert_problem(http.post("/v1/samples", json=body), 422)
    assert {fault["code"] for fault in problem["errors"]} == faults


def test_a_map_must_be_there_and_have_classes(http: httpx.Client) -> None:
    asked: dict[str, Any] = {"scene": "s1", "model": "cane:1"}
    waiting = http.post("/v1/predictions", json=asked).json()["id"]
    refused = http.post("/v1/samples", json={"map": waiting, "design": {"n": 100}})
    assert assert_problem(refused, 409)["type"] == "map-not-ready"
    other = http.post("/v1/predictions", json=asked | {"config": {"outputs": ["probability"]}}).json()["id"]
    refused = http.post("/v1/samples", json={"map": other, "design": {"n": 100}})
    assert [fault["code"] for fault in assert_problem(refused, 422)["errors"]] == ["no_classes"]
    for id_ in (waiting, other):
        http.delete(f"/v1/jobs/{id_}")


def test_a_job_that_cannot_draw_fails_with_the_reason(http: httpx.Client, do: Perform, prediction: str) -> None:
    made = http.post("/v1/samples", json={"map": prediction, "design": {"n": 50}}).json()
    do(made["id"])
    sample = http.get(f"/v1/samples/{made['id']}").json()
    assert (sample["job"]["status"], sample["job"]["error"]["type"]) == ("failed", "sample-too-small")
    assert_problem(http.get(f"/v1/samples/{made['id']}/estimates"), 404)
    assert_problem(http.put(f"/v1/samples/{made['id']}/answers", content="id,class\n1,0"), 404)


def test_a_prediction_that_has_samples_goes_only_with_them(
    http: httpx.Client, do: Perform, prediction: str, services: Services
) -> None:
    map_ = http.post("/v1/predictions", json={"scene": "s2", "model": "cane:1"}).json()["id"]
    do(map_)
    path = draw(http, do, map_)
    id_ = path.rpartition("/")[2]
    answered(http, path, filled(http, path))
    problem = assert_problem(http.delete(f"/v1/predictions/{map_}"), 409)
    assert problem["type"] == "prediction-in-use"
    assert [fault["detail"] for fault in problem["errors"]] == [f"Sample '{id_}' needs it."]
    assert http.delete(f"/v1/predictions/{map_}?cascade=true").status_code == 204
    assert_problem(http.get(path), 404)
    with services.database.read() as session:
        assert session.scalar(select(func.count()).where(SampleAnswer.sample == id_)) == 0
        assert session.scalar(select(func.count()).where(Job.id == id_)) == 0


def test_samples_are_listed_newest_first(http: httpx.Client, do: Perform, prediction: str) -> None:
    paths = [draw(http, do, prediction, seed=seed) for seed in range(2)]
    first = http.get("/v1/samples?limit=1").json()
    rest = http.get("/v1/samples", params={"limit": 1, "token": first["next"]}).json()
    listed = [f"/v1/samples/{item['id']}" for item in (*first["items"], *rest["items"])]
    assert listed == paths[::-1]


def test_a_sample_has_a_title(http: httpx.Client, do: Perform, prediction: str) -> None:
    made = http.post("/v1/samples", json={"map": prediction, "design": {"n": 100}, "title": "武鸣 2018"})
    assert made.json()["title"] == "武鸣 2018"
    do(made.json()["id"])
    assert_changes(http, made.headers["location"])
