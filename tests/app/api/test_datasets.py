"""/v1/labels and /v1/datasets on both databases, with jobs that do their work."""

from pathlib import Path

import httpx
import numpy as np
import pytest
from affine import Affine
from shapely.geometry import box

from app.services import Services
from tests.app.api.conftest import TINY, Perform, pixels, put
from tests.ml.conftest import GRID, MakeScene
from tests.ml.labels.layers import geojson, geopackage, square

SPLIT = {"by": "scene", "train": ["s1"], "val": ["s2"]}


@pytest.fixture
def two_scenes(http: httpx.Client, make_scene: MakeScene, mask: Path) -> None:
    """The scenes s1 and s2 on the same ground, and the labels `truth`."""
    for name in ("s1", "s2"):
        assert put(http, f"/v1/scenes/{name}", make_scene(pixels(seed=ord(name[1])), f"{name}.tif")).is_success
    assert put(http, "/v1/labels/truth", mask).is_success


def body(**changes: object) -> dict[str, object]:
    """The request for a dataset of the two scenes. They share ground, which `leaks` must allow."""
    plain = {"name": "gx", "scenes": ["s1", "s2"], "labels": ["truth"], "split": SPLIT, "leaks": "allow"}
    return {**plain, **changes}


def codes(answer: httpx.Response) -> set[tuple[str, str]]:
    assert answer.status_code == 422, answer.text
    return {(fault["code"], fault["pointer"]) for fault in answer.json()["errors"]}


def test_the_answer_to_uploaded_labels_has_their_report(http: httpx.Client, mask: Path) -> None:
    answer = put(http, "/v1/labels/truth", mask)
    assert answer.status_code == 201
    report = answer.json()["report"]
    assert report["kind"] == "raster"
    by_value = {item["value"]: item["pixels"] for item in report["by_class"]}
    assert (by_value[0], by_value[1]) == (63 * 32, 63 * 32)
    assert put(http, "/v1/labels/truth", mask).status_code == 200
    assert put(http, "/v1/labels/truth", mask, background="0").status_code == 200  # a mask has no background
    refused = put(http, "/v1/labels/truth", mask, classes='{"0": 0, "1": 1}')
    assert refused.status_code == 409 and "other options (classes)" in refused.json()["detail"]
    assert http.get("/v1/labels").json()["items"][0]["id"] == "truth"


def test_one_layer_of_a_file_with_several_can_be_chosen(http: httpx.Client, tmp_path: Path) -> None:
    path = geopackage(tmp_path / "plots.gpkg", [(square(0, 0), {"crop": "cane"})], layers=("rice", "cane"))
    refused = put(http, "/v1/labels/plots", path)
    assert refused.status_code == 422 and "'rice', 'cane'" in refused.json()["errors"][0]["hint"]
    answer = put(http, "/v1/labels/plots", path, layer="cane")
    assert answer.status_code == 201 and answer.json()["options"]["layer"] == "cane"
    assert answer.json()["report"]["layer"] == "cane" and answer.json()["report"]["encoding"] is None


@pytest.mark.parametrize(
    ("crs", "code"), [("EPSG:4214", "inexact_datum_shift"), ("EPSG:4610", "unknown_datum_shift"), ("EPSG:4490", None)]
)
def test_the_report_says_how_labels_change_their_datum(
    http: httpx.Client, tmp_path: Path, crs: str, code: str | None
) -> None:
    cane, unknown = box(113.5, 22.2, 113.51, 22.21), box(113.52, 22.2, 113.53, 22.21)
    path = geojson(tmp_path / "plots.geojson", [(cane, {"crop": "cane"}), (unknown, {"crop": None})], crs=crs)
    options = {"class_field": "crop", "classes": '{"cane": 1, "*": 0}', "background": "0"}
    answer = put(http, "/v1/labels/plots", path, **options)
    assert answer.status_code == 201, answer.text
    report = answer.json()["report"]
    assert [note["code"] for note in report["warnings"]] == ["no_class_text", *([code] if code else [])]
    assert (report["unlabelled"], report["other_texts"], report["other_texts_left"]) == (1, [], 0)
    assert report["datum_shift"]["accuracy_m"] == {"EPSG:4214": 15, "EPSG:4610": None, "EPSG:4490": 1}[crs]
    assert http.get("/v1/labels/plots").json() == answer.json()


def test_polygons_leave_the_rest_unlabelled_unless_told_otherwise(http: httpx.Client, tmp_path: Path) -> None:
    path = geojson(tmp_path / "plots.geojson", [(square(0, 0), {})])
    answer = put(http, "/v1/labels/plots", path)
    assert (answer.status_code, answer.json()["options"]["background"]) == (201, 255)
    refused = put(http, "/v1/labels/plots", path, background="0")
    assert refused.status_code == 409 and "other options (background)" in refused.json()["detail"]
    assert put(http, "/v1/labels/rest", path, background="0").json()["options"]["background"] == 0


@pytest.mark.parametrize(
    ("parameters", "code", "pointer"),
    [
        ({"class_field": "crop", "classes": '{"sugarcane": 1, "*": 0}'}, "unmatched_class", "query:classes"),
        ({"class_field": "crops", "classes": '{"cane": 1, "*": 0}'}, "missing_class", "query:class_field"),
        ({"class_field": "crop", "classes": '{"cane": 1, "cane ": 0}'}, "ambiguous_class", "query:classes"),
    ],
)
def test_classes_that_do_not_fit_the_layer_are_refused_with_what_is_there(
    http: httpx.Client, tmp_path: Path, parameters: dict[str, str], code: str, pointer: str
) -> None:
    path = geojson(tmp_path / "plots.geojson", [(square(0, 0), {"crop": "cane"}), (square(20, 0), {"crop": "rice"})])
    answer = put(http, "/v1/labels/plots", path, **parameters)
    assert codes(answer) == {(code, pointer)}
    assert code == "ambiguous_class" or "cane 1, rice 1" in answer.json()["errors"][0]["hint"]


@pytest.mark.parametrize(
    "parameters", [{"classes": "{"}, {"classes": "[1]"}, {"classes": '{"a": 300}'}, {"background": "7"}, {"class": "x"}]
)
def test_bad_label_options_are_refused(http: httpx.Client, mask: Path, parameters: dict[str, str]) -> None:
    assert put(http, "/v1/labels/truth", mask, **parameters).status_code == 422


def test_a_prepared_dataset_has_the_pixels_and_areas_of_its_splits(
    http: httpx.Client, two_scenes: None, do: Perform
) -> None:
    answer = http.post("/v1/datasets", json=body())
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/datasets/gx:1"
    accepted = answer.json()
    assert (accepted["id"], accepted["job"]["jobID"], accepted["job"]["status"]) == ("gx:1", "gx:1", "accepted")
    assert accepted["statistics"] is None
    do("gx:1")
    dataset = http.get("/v1/datasets/gx:1").json()
    assert dataset["job"]["status"] == "successful", dataset["job"]
    half = 63 * 32
    train = dataset["statistics"]["train"]
    assert train["pixels"] == {"other": half, "sugarcane": half, "unlabelled": 64}
    assert train["area_ha"]["sugarcane"] == pytest.approx(half * 100 / 10_000, rel=2e-3)
    assert dataset["contract"]["dtype"] == "uint16"
    assert http.get("/v1/datasets/gx").json()["id"] == "gx:1"
    assert dataset["statistics_by_scene"]["s1"] == train
    assert dataset["statistics_total"]["pixels"]["sugarcane"] == 2 * half
    assert [note["code"] for note in dataset["notes"]] == ["leak_overlapping_scenes"]
    assert len(dataset["sha256"]) == 64


def test_splits_that_share_ground_fail_with_leaks_refuse(http: httpx.Client, two_scenes: None, do: Perform) -> None:
    assert http.post("/v1/datasets", json=body(leaks="refuse")).status_code == 201
    do("gx:1")
    job = http.get("/v1/jobs/gx:1").json()
    assert job["status"] == "failed"
    assert [error["code"] for error in job["error"]["errors"]] == ["leak_overlapping_scenes"]
    assert http.get("/v1/datasets/gx").json()["id"] == "gx:1"  # there is no other


def test_the_name_of_a_dataset_means_its_newest_version_that_has_not_failed(
    http: httpx.Client, two_scenes: None, do: Perform
) -> None:
    for changes in ({}, {"leaks": "refuse"}):
        do(http.post("/v1/datasets", json=body(**changes)).json()["id"])
    assert http.get("/v1/datasets/gx:2").json()["job"]["status"] == "failed"
    assert http.get("/v1/datasets/gx").json()["id"] == "gx:1"


def test_two_classes_need_the_values_0_and_1_but_more_classes_any_values(http: httpx.Client, two_scenes: None) -> None:
    def classes(*values: int) -> list[dict[str, object]]:
        return [{"value": value, "name": f"crop {value}"} for value in values]

    assert http.post("/v1/datasets", json=body(classes=classes(3, 200, 0))).status_code == 201
    assert codes(http.post("/v1/datasets", json=body(classes=classes(1, 2)))) == {("unsupported_classes", "/classes")}
    assert codes(http.post("/v1/datasets", json=body(classes=classes(4, 4, 5)))) == {("same_class", "/classes")}
    assert codes(http.post("/v1/datasets", json=body(classes=classes(1)))) == {("too_few_classes", "/classes")}


def test_each_post_makes_a_new_version_unless_the_idempotency_key_repeats(http: httpx.Client, two_scenes: None) -> None:
    key = {"Idempotency-Key": "one"}
    made = [http.post("/v1/datasets", json=body(), headers=headers).json()["id"] for headers in (key, key, {})]
    assert made == ["gx:1", "gx:1", "gx:2"]
    assert http.post("/v1/datasets", json=body(name="other"), headers=key).status_code == 422


def test_all_faults_of_a_dataset_are_named_at_once(http: httpx.Client, two_scenes: None) -> None:
    wrong = body(
        scenes=["s1", "s2", "s9"],
        labels=["truth", "nothing"],
        split={"by": "scene", "train": ["s1", "s8"], "val": ["s1"]},
        classes=[{"value": 0, "name": "other"}, {"value": 7, "name": "cane"}],
    )
    assert codes(http.post("/v1/datasets", json=wrong)) >= {
        ("unknown_scenes", "/scenes/2"),
        ("unknown_labels", "/labels/1"),
        ("unknown_scenes", "/split/train/1"),
        ("split_overlap", "/split/val/0"),
        ("unsupported_classes", "/classes"),
    }
    assert http.get("/v1/datasets").json()["items"] == []
    assert http.get("/v1/jobs").json()["items"] == []


def test_each_scene_that_does_not_fit_the_others_is_refused(
    http: httpx.Client, two_scenes: None, make_scene: MakeScene
) -> None:
    put(http, "/v1/scenes/three", make_scene(pixels(3)[:3], "three.tif"))
    put(http, "/v1/scenes/float", make_scene(pixels(4).astype(np.float32), "float.tif"))
    put(http, "/v1/scenes/coarse", make_scene(pixels(5), "coarse.tif", transform=GRID @ Affine.scale(2)))
    answer = http.post("/v1/datasets", json=body(scenes=["unknown", "s1", "three", "float", "coarse", "s2"]))
    assert codes(answer) == {
        ("unknown_scenes", "/scenes/0"),
        ("wrong_bands", "/scenes/2"),
        ("wrong_dtype", "/scenes/3"),
        ("bad_resolution", "/scenes/4"),
    }


def test_a_scene_that_is_named_twice_is_refused(http: httpx.Client, two_scenes: None) -> None:
    answer = http.post("/v1/datasets", json=body(scenes=["s1", "s1", "gone", "s2"]))
    assert codes(answer) == {("repeated_scene", "/scenes/1"), ("unknown_scenes", "/scenes/2")}


def test_scenes_with_different_dtypes_and_band_names_that_one_model_can_map_make_a_dataset(
    http: httpx.Client, two_scenes: None, make_scene: MakeScene, do: Perform
) -> None:
    signed = make_scene(pixels(7).astype(np.int16), "signed.tif")
    put(http, "/v1/scenes/unsigned", make_scene(pixels(6), "unsigned.tif"), bands="b,g,r,nir")
    put(http, "/v1/scenes/signed", signed, bands="B02,green,Red,N")
    split = {"by": "scene", "train": ["unsigned"], "val": ["signed"]}
    assert http.post("/v1/datasets", json=body(scenes=["unsigned", "signed"], split=split)).status_code == 201
    do("gx:1")
    dataset = http.get("/v1/datasets/gx:1").json()
    assert dataset["job"]["status"] == "successful", dataset["job"]
    assert dataset["contract"]["bands"] == ["b", "g", "r", "nir"]
    trained = http.post("/v1/trainings", json={"dataset": "gx:1", "config": TINY}).json()["id"]
    do(trained)
    assert http.post("/v1/predictions", json={"scene": "signed", "model": "gx"}).status_code == 201


def test_labels_that_touch_no_scene_are_refused(http: httpx.Client, two_scenes: None, make_scene: MakeScene) -> None:
    away = GRID @ Affine.translation(100_000, 0)
    put(http, "/v1/labels/away", make_scene(np.ones((1, 64, 64), np.uint8), "away.tif", transform=away))
    assert ("no_overlap", "/scenes/0") in codes(http.post("/v1/datasets", json=body(labels=["away"])))


def test_labels_east_of_the_date_line_reach_a_scene_that_crosses_it(
    http: httpx.Client, make_scene: MakeScene, do: Perform
) -> None:
    for name in ("s1", "s2"):  # 32 of its 64 columns are west of the date line
        fiji = {"crs": "EPSG:32760", "transform": Affine(10, 0, 820_780, 0, -10, 8_229_066)}
        put(http, f"/v1/scenes/{name}", make_scene(pixels(ord(name[1])), f"{name}.tif", **fiji))
    stripes = np.tile(np.repeat(np.arange(2, dtype=np.uint8), 4), (1, 200, 8))
    beyond = make_scene(stripes, "east.tif", crs="EPSG:4326", transform=Affine(1e-4, 0, -180, 0, -1e-4, -15.99))
    put(http, "/v1/labels/truth", beyond)
    assert http.post("/v1/datasets", json=body()).status_code == 201
    do("gx:1")
    dataset = http.get("/v1/datasets/gx:1").json()
    assert dataset["job"]["status"] == "successful", dataset["job"]
    assert dataset["statistics"]["train"]["pixels"]["unlabelled"] == pytest.approx(64 * 32, abs=64)


def test_a_dataset_of_one_class_cannot_be_trained_on(
    http: httpx.Client, two_scenes: None, make_scene: MakeScene, do: Perform
) -> None:
    put(http, "/v1/labels/bare", make_scene(np.zeros((1, 64, 64), np.uint8), "bare.tif"))
    http.post("/v1/datasets", json=body(labels=["bare"]))
    assert http.post("/v1/trainings", json={"dataset": "gx:1"}).status_code == 409
    do("gx:1")
    assert "single_class" in {note["code"] for note in http.get("/v1/datasets/gx:1").json()["notes"]}
    refused = http.post("/v1/trainings", json={"dataset": "gx:1"})
    assert codes(refused) == {("one_class", "/dataset")}
    assert "background=0" in refused.json()["errors"][0]["hint"]
    assert codes(http.post("/v1/trainings", json={"dataset": "nothing"})) == {("unknown_dataset", "/dataset")}


def test_a_class_may_be_absent_if_two_others_are_present(http: httpx.Client, two_scenes: None, do: Perform) -> None:
    classes = [{"value": value, "name": name} for value, name in enumerate(("other", "cane", "pineapple"))]
    http.post("/v1/datasets", json=body(classes=classes))
    do("gx:1")
    assert "absent_class" in {note["code"] for note in http.get("/v1/datasets/gx:1").json()["notes"]}
    assert http.post("/v1/trainings", json={"dataset": "gx:1", "config": TINY}).status_code == 201


def test_scenes_and_labels_of_a_dataset_cannot_be_deleted(
    http: httpx.Client, two_scenes: None, services: Services
) -> None:
    http.post("/v1/datasets", json=body())
    assert http.delete("/v1/scenes/s1").status_code == 409
    assert http.delete("/v1/labels/truth").status_code == 409
    http.delete("/v1/jobs/gx:1")
    assert http.delete("/v1/scenes/s1").status_code == 204
    assert http.delete("/v1/labels/truth").status_code == 204


def test_a_training_is_refused_if_its_net_sees_beyond_the_buffer_between_blocks(
    http: httpx.Client, make_scene: MakeScene, do: Perform
) -> None:
    truth = np.zeros((1, 256, 256), np.uint8)
    truth[:, :, ::2] = 1
    put(http, "/v1/scenes/big", make_scene(pixels(0, size=256), "big.tif"))
    put(http, "/v1/labels/big", make_scene(truth, "truth.tif"))
    split = {"by": "block", "block_px": 64, "buffer_px": 24}
    http.post("/v1/datasets", json=body(scenes=["big"], labels=["big"], split=split))
    do("gx:1")
    dataset = http.get("/v1/datasets/gx:1").json()
    assert dataset["job"]["status"] == "successful", dataset["job"]
    assert all(dataset["statistics"][split]["pixels"]["sugarcane"] > 0 for split in ("train", "val", "test"))
    deep = {"dataset": "gx:1", "config": {"net": {"depth": 3}}}
    assert codes(http.post("/v1/trainings", json=deep)) == {("buffer_too_small", "/config/net/depth")}
    assert http.post("/v1/trainings", json={"dataset": "gx:1", "config": {"net": {"depth": 2}}}).status_code == 201
