"""Compares the result for every hostile or unusual file in ../shared with the result that its manifest expects."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from ml.contract import Contract
from ml.faults import InputRefused
from ml.labels.classes import LabelOptions
from ml.labels.inspect import inspect_labels
from ml.labels.rasterise import rasterise
from ml.scenes.compatibility import contract_faults
from ml.scenes.inspect import inspect_scene
from tests.ml.conftest import MakeScene

SHARED = Path(__file__).resolve().parents[3] / "shared"
MANIFEST = SHARED / "faults" / "manifest.json"
EXPECTED: dict[str, dict[str, Any]] = json.loads(MANIFEST.read_text()) if MANIFEST.exists() else {}
VECTORS = {name: entry["code"] for name, entry in EXPECTED.items() if entry["kind"] == "vector"}
NO_LABELS = {"K01_formula.csv": "bad_json"}  # a table of points, which is not a label format that canemap reads
OPTIONS = LabelOptions(class_field="class", classes={"sugarcane": 1, "other": 0})
RASTERS = {name: entry["code"] for name, entry in EXPECTED.items() if entry["kind"] == "raster"}
AWKWARD = sorted(path.name for path in (SHARED / "data" / "awkward-geotiffs").glob("*.tif"))
UNSUITABLE = {"wrong_bands", "bad_resolution"}  # codes of scenes that are accepted but do not fit the model
SECONDS = 20  # limit for each file on a busy machine; otherwise each takes under one second
CONTRACT = Contract(bands=("blue", "green", "red", "nir", "swir"), dtype="uint16", gsd=10.0, nodata=None, statistics=())


def scene_codes(path: Path) -> list[str]:
    """Return the codes of a refused scene, or of a scene that does not fit a model for five bands of 10 m."""
    try:
        info = inspect_scene(path)
    except InputRefused as refused:
        assert all(fault.detail and fault.hint for fault in refused.faults)
        assert str(path.parent) not in str(refused)
        return [fault.code for fault in refused.faults]
    json.loads(info.model_dump_json())
    return [fault.code for fault in contract_faults(info, CONTRACT)]


@pytest.mark.parametrize("name", RASTERS)
def test_a_faulty_raster_gets_the_expected_code(shared: Path, name: str) -> None:
    started = time.process_time()
    codes = scene_codes(shared / "faults" / "files" / name)
    assert time.process_time() - started < SECONDS
    if RASTERS[name] == "ok":
        assert set(codes) <= UNSUITABLE | {"wrong_dtype"}
    else:
        assert RASTERS[name] in codes


def label_codes(path: Path, scene: Path, mask: Path) -> list[str]:
    """Return the codes of refused labels, or ["no_overlap"] for labels that do not touch the scene."""
    try:
        report = inspect_labels(path, OPTIONS)
        rasterised = rasterise([(path, OPTIONS)], scene, mask)
    except InputRefused as refused:
        assert all(fault.detail and fault.hint for fault in refused.faults)
        assert str(path.parent) not in str(refused)
        return [fault.code for fault in refused.faults]
    assert sum(item.area_ha for item in report.by_class) > 0
    return [] if rasterised.labelled else ["no_overlap"]


@pytest.mark.parametrize("name", VECTORS)
def test_a_faulty_label_layer_gets_the_expected_code(
    shared: Path, tmp_path: Path, make_scene: MakeScene, name: str
) -> None:
    degrees = Affine(0.001, 0, 104.9, 0, -0.001, 11.1)
    scene = make_scene(np.ones((1, 400, 400), dtype=np.uint8), crs="EPSG:4326", transform=degrees)
    started = time.process_time()
    codes = label_codes(shared / "faults" / "files" / name, scene, tmp_path / "mask.tif")
    assert time.process_time() - started < SECONDS
    expected = NO_LABELS.get(name, VECTORS[name])
    assert set(codes) == (set() if expected == "ok" else {expected})


@pytest.mark.parametrize("name", AWKWARD)
def test_an_unusual_real_raster_is_read_or_refused_with_a_reason(shared: Path, name: str) -> None:
    started = time.process_time()
    scene_codes(shared / "data" / "awkward-geotiffs" / name)
    assert time.process_time() - started < SECONDS
