"""/v1/models and /v1/predictions with imported checkpoints, on both databases."""

import csv
import io
import json
from pathlib import Path

import httpx
import numpy as np
import onnxruntime
import pytest

from app.mapping import predictions
from app.services import Services
from ml.checkpoint_header import CheckpointHeader, read_header
from ml.config import NetConfig, TrainConfig
from ml.contract import BandRadiometry, BandStatistics, ClassDef, Contract, Homogenise
from ml.evaluation.assessment import SceneCounts, assessment
from ml.evaluation.metrics import BlockCounts, Metrics
from ml.geo.raster import open_raster
from ml.nn.checkpoint import save_checkpoint
from ml.nn.unet import UNet
from tests.app.api.conftest import Perform, pixels, put
from tests.ml.conftest import MakeScene

CONFUSION = ((40, 10), (5, 45))
PARTS = (((20, 4), (2, 20)), ((10, 3), (1, 10)), ((10, 3), (2, 15)))  # of CONFUSION
BLOCKS = tuple(BlockCounts(row=0, col=256 * number, confusion=part) for number, part in enumerate(PARTS))
STATISTICS = (BandStatistics(mean=400, std=250, min=100, max=700),) * 4


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A checkpoint of an untrained net for scenes like those of the fixtures, with metrics on a test split."""
    config = TrainConfig(net=NetConfig(depth=2, width=4), chip_size=32)
    test = Metrics.from_confusion(np.array(CONFUSION))
    header = CheckpointHeader(
        contract=Contract(bands=("1", "2", "3", "4"), dtype="uint16", gsd=10, nodata=None, statistics=STATISTICS),
        config=config,
        val=test,
        test=test,
        details={"test": assessment([SceneCounts("field", BLOCKS)])[1]},
        best_epoch=1,
        versions={"canemap": "0"},
    )
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, UNet(4, 2, 4).state_dict(), header)
    return path


@pytest.fixture
def model(http: httpx.Client, bundle: Path) -> None:
    """The model `cane` with the versions 1 and 2."""
    for version in (1, 2):
        answer = http.post("/v1/models/cane/versions", content=bundle.read_bytes())
        assert answer.status_code == 201, answer.text
        assert answer.headers["location"] == f"/v1/models/cane/versions/{version}"


@pytest.mark.parametrize(
    ("classes", "pointer"),
    [
        ([("other", 0), ("sugar\vcane", 1)], "/classes/1/name"),
        ([("other", 0), ("Other", 1), ("rice", 7)], "/classes"),
        ([("other", 0), ("cane", 5)], "/classes"),
        ([("cane", 1)], "/classes"),
    ],
)
def test_a_bundle_with_classes_that_no_dataset_may_have_is_refused(
    http: httpx.Client, bundle: Path, classes: list[tuple[str, int]], pointer: str
) -> None:
    header = read_header(bundle)
    named = tuple(ClassDef(value=value, name=name) for name, value in classes)
    contract = header.contract.model_copy(update={"classes": named})
    save_checkpoint(bundle, UNet(4, 2, 4).state_dict(), header.model_copy(update={"contract": contract}))
    answer = http.post("/v1/models/cane/versions", content=bundle.read_bytes())
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]
    assert http.get("/v1/models/cane").status_code == 404


def test_the_first_version_of_a_name_becomes_its_champion(http: httpx.Client, model: None) -> None:
    champion = http.get("/v1/models/cane/versions/@champion").json()
    assert (champion["version"], champion["aliases"]) == (1, ["champion"])
    assert champion["metrics"]["test"]["accuracy"] == pytest.approx(0.85)
    assert champion["metrics"]["test"]["confusion"] == [[40, 10], [5, 45]]
    assert champion["contract"]["gsd"] == 10
    document = http.get("/v1/models/cane").json()
    assert [version["version"] for version in document["versions"]] == [2, 1]
    assert document["aliases"] == {"champion": 1}
    assert [item["name"] for item in http.get("/v1/models").json()["items"]] == ["cane"]


def test_a_downloaded_bundle_has_the_bytes_of_the_imported_one(http: httpx.Client, model: None, bundle: Path) -> None:
    assert http.get("/v1/models/cane/versions/2/bundle").content == bundle.read_bytes()


@pytest.mark.parametrize("content", [b"no model", b"\x08\x00\x00\x00\x00\x00\x00\x00{}", b"PK\x03\x04pickle"])
def test_a_file_that_is_no_checkpoint_is_refused_and_not_stored(
    http: httpx.Client, content: bytes, services: Services
) -> None:
    answer = http.post("/v1/models/cane/versions", content=content)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["code"] == "bad_checkpoint"
    assert http.get("/v1/models/cane").status_code == 404
    assert [path for path in (services.settings.data_dir / "store").rglob("*") if path.is_file()] == []


def test_promoting_and_rolling_back_are_kept_in_the_history(http: httpx.Client, model: None) -> None:
    url = "/v1/models/cane/aliases/champion"
    etag = http.get(url).headers["etag"]
    moved = http.put(url, json={"version": 2, "reason": "better IoU"}, headers={"If-Match": etag})
    assert (moved.status_code, moved.json()["version"]) == (200, 2)
    stale = http.put(url, json={"version": 1}, headers={"If-Match": etag})
    assert stale.status_code == 412
    assert http.put(url, json={"version": 1, "reason": "rolled back"}).json()["version"] == 1
    history = http.get(url).json()["history"]
    assert [(move["version"], move["reason"]) for move in history] == [
        (1, "the first version"),
        (2, "better IoU"),
        (1, "rolled back"),
    ]
    assert http.put(url, json={"version": 9}).status_code == 404
    assert http.delete(url).status_code == 409
    assert http.put("/v1/models/cane/aliases/7", json={"version": 1}).status_code == 422
    assert http.put("/v1/models/cane/aliases/night", json={"version": 2}).status_code == 201
    assert http.delete("/v1/models/cane/aliases/night").status_code == 204
    assert http.get("/v1/models/cane/aliases/night").status_code == 404


def test_a_prediction_gives_maps_polygons_and_hectares(
    http: httpx.Client, model: None, scene: Path, do: Perform, tmp_path: Path, services: Services
) -> None:
    put(http, "/v1/scenes/s1", scene, acquired="2018-10-12")
    answer = http.post("/v1/predictions", json={"scene": "s1", "model": "cane@champion"})
    assert answer.status_code == 201
    url = answer.headers["location"]
    assert http.get(f"{url}/classes.tif").json()["type"] == "result-not-ready"
    assert http.get(f"{url}/areas").status_code == 404
    assert http.delete(url).status_code == 409
    do(answer.json()["id"])
    item = http.get(url).json()
    assert item["job"]["status"] == "successful", item["job"]
    assert item["properties"]["model"] == {"name": "cane", "version": 1}
    assert set(item["assets"]) == {name for name in predictions.PRODUCTS if not name.startswith("uncertainty")}
    for name in item["assets"]:
        (tmp_path / name).write_bytes(http.get(f"{url}/{name}").content)
    with open_raster(tmp_path / "classes.tif") as classes, open_raster(scene) as original:
        assert (classes.crs, classes.transform, classes.shape) == (original.crs, original.transform, original.shape)
        cane = int((classes.read(1) == 1).sum())
    row = http.get(f"{url}/areas").json()["items"][0]
    assert row["zone"] is None
    assert row["mapped_ha"] == pytest.approx(cane * 100 / 10_000, rel=2e-3, abs=1e-6)
    assert row["mapped_mu"] == pytest.approx(15 * row["mapped_ha"])
    assert row["observed_ha"] == pytest.approx(64 * 64 * 100 / 10_000, rel=2e-3)
    assert row["ci95_ha"][0] <= row["adjusted_ha"] <= row["ci95_ha"][1]
    assert "single test scene" in row["why"], "the bundle was scored on one"
    assert (row["applicability"], row["outside_share"], row["outside_ha"]) == ("inside", 0, 0)
    assert item["properties"]["applicability"]["level"] == "inside"
    of_polygons = item["properties"]["polygons"]
    assert (of_polygons["mmu_ha"], of_polygons["mmu_px"]) == (0.04, 4)
    (told,) = of_polygons["classes"]
    written = [each["properties"] for each in json.loads((tmp_path / "polygons.geojson").read_text())["features"]]
    assert (told["name"], told["mapped_ha"], told["count"]) == (row["class"], row["mapped_ha"], len(written))
    assert sum(each["area_ha"] for each in written) == pytest.approx(told["mapped_ha"] + told["merged_ha"], rel=1e-4)
    assert all(0.5 <= each["probability"] <= 1 or told["merged_ha"] > 0 for each in written)
    text = http.get(f"{url}/areas", params={"f": "csv"}).content.decode("utf-8-sig")
    line = next(csv.DictReader(io.StringIO(text)))
    assert float(line["mapped_ha"]) == round(row["mapped_ha"], 4)
    assert (line["scene"], line["model"], line["acquired"]) == ("s1", "cane:1", "2018-10-12")
    assert max(len(cell.partition(".")[2]) for name, cell in line.items() if name.endswith("ha")) <= 4
    assert http.get(f"{url}/areas", params={"f": "geojson"}).json()["features"][0]["properties"] == row
    listed = http.get("/v1/predictions", params={"status": "successful", "datetime": "2018-10-12T00:00:00Z/.."}).json()
    assert [feature["id"] for feature in listed["features"]] == [item["id"]]
    assert http.delete("/v1/scenes/s1").status_code == 409
    assert http.delete(url).status_code == 204
    assert http.delete("/v1/scenes/s1").status_code == 204
    assert not list(((services.settings.data_dir / "store") / "objects").rglob("*.geojson"))


def test_a_scene_unlike_the_training_is_flagged_and_has_no_interval(
    http: httpx.Client, model: None, make_scene: MakeScene, do: Perform
) -> None:
    image = pixels(seed=9)
    image[3, :40] = 9000  # brighter than anything in training
    put(http, "/v1/scenes/far", make_scene(image, "far.tif"))
    id_ = http.post("/v1/predictions", json={"scene": "far", "model": "cane"}).json()["id"]
    assert "applicability" not in http.get(f"/v1/predictions/{id_}").json()["properties"]
    do(id_)
    properties = http.get(f"/v1/predictions/{id_}").json()["properties"]
    assert properties["applicability"]["level"] == "outside"
    assert properties["applicability"]["outside_share"] == pytest.approx(40 / 64, rel=1e-3)
    assert [band["name"] for band in properties["applicability"]["bands"]] == ["4"]
    assert "outside_training" in {note["code"] for note in properties["warnings"]}
    assert "outside_training" in json.dumps(http.get("/v1/predictions").json()["features"])
    (row,) = http.get(f"/v1/predictions/{id_}/areas").json()["items"]
    assert (row["applicability"], row["adjusted_ha"], row["ci95_ha"]) == ("outside", None, None)
    assert row["outside_ha"] == pytest.approx(40 * 64 / 100, rel=3e-3) and "unlike the training" in row["why"]
    assert "62.5% of the area" in http.get(f"/v1/jobs/{id_}/log").text


def test_a_null_interval_has_its_reason(http: httpx.Client, bundle: Path, scene: Path, do: Perform) -> None:
    unscored = read_header(bundle).model_copy(update={"test": None, "details": {}})
    save_checkpoint(bundle, UNet(4, 2, 4).state_dict(), unscored)
    put(http, "/v1/scenes/s1", scene)
    http.post("/v1/models/cane/versions", content=bundle.read_bytes())
    id_ = http.post("/v1/predictions", json={"scene": "s1", "model": "cane:1"}).json()["id"]
    do(id_)
    (row,) = http.get(f"/v1/predictions/{id_}/areas").json()["items"]
    assert (row["adjusted_ha"], row["why"]) == (None, "The model was not scored on a test split.")
    (line,) = csv.DictReader(io.StringIO(http.get(f"/v1/predictions/{id_}/areas?f=csv").text.removeprefix("\ufeff")))
    assert (line["adjusted_ha"], line["why"]) == ("", row["why"])


def test_errors_that_were_counted_in_another_way_adjust_no_area(
    http: httpx.Client, model: None, scene: Path, do: Perform
) -> None:
    put(http, "/v1/scenes/s1", scene)
    found = {}
    configs = {
        "other threshold": {"threshold": 0.3},
        "other views": {"views": 8},
        "same": {"threshold": 0.5, "views": 1},
    }
    for name, config in configs.items():
        id_ = http.post("/v1/predictions", json={"scene": "s1", "model": "cane", "config": config}).json()["id"]
        do(id_)
        (found[name],) = http.get(f"/v1/predictions/{id_}/areas").json()["items"]
    assert found["same"]["adjusted_ha"] is not None and found["same"]["ci95_ha"] is not None
    for other in ("other threshold", "other views"):
        assert (found[other]["adjusted_ha"], found[other]["ci95_ha"]) == (None, None)
    assert found["other threshold"]["why"].endswith("counted at threshold 0.5, and the map has 0.3.")
    assert found["other views"]["why"].endswith("counted with views 1, and the map has views 8.")


@pytest.mark.parametrize(("headers", "query"), [({"accept-language": "zh"}, ""), ({}, "&lang=zh")])
def test_areas_for_spreadsheets_have_chinese_headings(
    http: httpx.Client, bundle: Path, scene: Path, do: Perform, headers: dict[str, str], query: str
) -> None:
    put(http, "/v1/scenes/s1", scene)
    http.post("/v1/models/cane/versions", content=bundle.read_bytes())
    id_ = http.post("/v1/predictions", json={"scene": "s1", "model": "cane:1"}).json()["id"]
    do(id_)
    table = f"/v1/predictions/{id_}/areas?f=csv"
    told, said = http.get(table + query, headers=headers), http.get(table)
    assert (told.headers["content-language"], told.headers["vary"]) == ("zh", "Accept-Language")
    assert "content-language" not in said.headers
    assert http.get(f"{table}&lang=en", headers={"accept-language": "zh"}).content == said.content
    assert told.content.startswith(b"\xef\xbb\xbf")
    in_chinese, in_english = (list(csv.reader(io.StringIO(answer.text.lstrip("\ufeff")))) for answer in (told, said))
    assert [heading for heading in in_chinese[0] if heading.isascii()] == []
    assert "制图面积（公顷）" in in_chinese[0]
    assert in_chinese[1][in_english[0].index("mapped_ha")] == in_english[1][in_english[0].index("mapped_ha")]


def test_a_threshold_for_a_model_of_many_classes_is_refused(
    http: httpx.Client, bundle: Path, make_scene: MakeScene
) -> None:
    header = read_header(bundle)
    named = tuple(ClassDef(value=value, name=f"crop {value}") for value in (0, 10, 254))
    contract = header.contract.model_copy(update={"classes": named})
    many = CheckpointHeader(contract=contract, config=header.config, best_epoch=1)
    save_checkpoint(bundle, UNet(4, 2, 4, outputs=3).state_dict(), many)
    assert http.post("/v1/models/crops/versions", content=bundle.read_bytes()).status_code == 201
    put(http, "/v1/scenes/s1", make_scene(pixels(0), "s1.tif"))
    body = {"scene": "s1", "model": "crops", "config": {"threshold": 0.7}}
    answer = http.post("/v1/predictions", json=body)
    assert answer.status_code == 422
    assert [(e["code"], e["pointer"]) for e in answer.json()["errors"]] == [("binary_only", "/config/threshold")]
    assert http.post("/v1/predictions", json=body | {"config": {"threshold": 0.5}}).status_code == 201


def test_a_scene_that_breaks_the_contract_is_refused_with_all_faults(
    http: httpx.Client, model: None, make_scene: MakeScene
) -> None:
    put(http, "/v1/scenes/wrong", make_scene(pixels(0)[:3].astype(np.uint8), "wrong.tif"))
    answer = http.post("/v1/predictions", json={"scene": "wrong", "model": "cane"})
    assert answer.status_code == 422
    assert answer.json()["type"] == "contract-mismatch"
    assert {fault["code"] for fault in answer.json()["errors"]} == {"wrong_bands", "wrong_dtype"}
    unknown = http.post("/v1/predictions", json={"scene": "nothing", "model": "cane@night"})
    assert {fault["pointer"] for fault in unknown.json()["errors"]} == {"/scene", "/model"}
    assert http.get("/v1/jobs").json()["items"] == []


@pytest.mark.parametrize("name", ["ca\x0bne", "ca\nne", "ca\x00ne"])
def test_a_bundle_with_control_characters_in_a_class_name_is_refused(
    http: httpx.Client, bundle: Path, name: str
) -> None:
    header = read_header(bundle)
    classes = (ClassDef(value=0, name="other"), ClassDef(value=1, name=name))
    strange = header.model_copy(update={"contract": header.contract.model_copy(update={"classes": classes})})
    save_checkpoint(bundle, UNet(4, 2, 4).state_dict(), strange)
    refused = http.post("/v1/models/cane/versions", content=bundle.read_bytes())
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "bad_class_name")
    assert http.get("/v1/models/cane").status_code == 404


def test_a_class_that_looks_like_a_formula_is_a_text_in_the_csv(
    http: httpx.Client, bundle: Path, do: Perform, scene: Path
) -> None:
    header = read_header(bundle)
    classes = (ClassDef(value=0, name="other"), ClassDef(value=1, name="=HYPERLINK(1)"))
    strange = header.model_copy(update={"contract": header.contract.model_copy(update={"classes": classes})})
    save_checkpoint(bundle, UNet(4, 2, 4).state_dict(), strange)
    put(http, "/v1/scenes/s1", scene)
    http.post("/v1/models/cane/versions", content=bundle.read_bytes())
    id_ = http.post("/v1/predictions", json={"scene": "s1", "model": "cane:1"}).json()["id"]
    do(id_)
    (row,) = csv.DictReader(io.StringIO(http.get(f"/v1/predictions/{id_}/areas?f=csv").text.removeprefix("\ufeff")))
    assert row["class"] == "'=HYPERLINK(1)"
    assert float(row["mapped_ha"]) >= 0


def test_a_model_can_be_had_as_onnx(http: httpx.Client, model: None, bundle: Path, tmp_path: Path) -> None:
    url = "/v1/models/cane/versions/2/onnx"
    whole = http.get(url)
    assert int(http.head(url).headers["content-length"]) == len(whole.content)
    assert http.get(url, headers={"Range": "bytes=0-9"}).content == whole.content[:10]
    assert 'filename="cane-2.onnx"' in whole.headers["content-disposition"]
    session = onnxruntime.InferenceSession(whole.content, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": pixels(seed=0)[None].astype(np.float32)})
    assert found.shape == (1, 1, 64, 64)
    assert (found > 0).all() and (found < 1).all()
    assert json.loads(session.get_modelmeta().custom_metadata_map["canemap_version"]) == "cane:2"
    header = read_header(bundle)
    reference = BandRadiometry(median=1, mad=1, mean=1, std=1, quantiles=(0.0,) * 101)
    homogenised = Homogenise(method="robust", reference=(reference,) * 4)
    contract = header.contract.model_copy(update={"homogenise": homogenised})
    save_checkpoint(bundle, UNet(4, 2, 4).state_dict(), header.model_copy(update={"contract": contract}))
    assert http.post("/v1/models/cane/versions", content=bundle.read_bytes()).status_code == 201
    refused = http.get("/v1/models/cane/versions/3/onnx")
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "homogenised_model")
    assert http.get("/v1/models/cane/versions/9/onnx").status_code == 404
    items = http.get("/v1/stac/collections/models/items").json()["features"]
    assert [sorted(item["assets"]) for item in items] == [["bundle"], ["bundle", "onnx"], ["bundle", "onnx"]]
