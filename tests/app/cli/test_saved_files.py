"""`canemap preview`, `sign`, `areas --out` and `dataset --blocks`, as a person runs them."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pyogrio
import pytest
from PIL import Image

from app.client import Client
from app.settings import Settings
from tests.app.api.conftest import copy_of_service, prepared_sqlite, serving, trained_sqlite, zones_file

__all__ = ["prepared_sqlite", "trained_sqlite"]
Canemap = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def http(trained_sqlite: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a server that has a prediction."""
    with copy_of_service(trained_sqlite, tmp_path_factory.mktemp("copy")) as settings, serving(settings) as client:
        yield client


@pytest.fixture
def canemap(http: httpx.Client, tmp_path: Path) -> Canemap:
    """Runs a command in an empty folder; its exit code, its output and its errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        environment = os.environ | {"CANEMAP_URL": str(http.base_url), "PYTHONPATH": str(Path.cwd())}
        command = [sys.executable, "-m", "app.cli", *arguments]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    return run


def test_a_picture_of_a_scene_is_saved(canemap: Canemap, http: httpx.Client, tmp_path: Path) -> None:
    assert canemap("preview", "s1", "--out", "s1.png", "--max-size", "64", "--bands", "1") == (0, "s1.png\n", "")
    wanted = http.get("/v1/scenes/s1/preview.png", params={"max_size": 64, "bands": "1"}).content
    assert (tmp_path / "s1.png").read_bytes() == wanted
    with Image.open(io.BytesIO(wanted)) as picture:
        assert max(picture.size) <= 64 and np.asarray(picture).any()
    with Client(str(http.base_url)) as client:
        stretched = client.scene_preview("s1", tmp_path / "p.png", bands=["1", "2", "3"], stretch="0,1")
    assert stretched.read_bytes() != wanted
    code, _, errors = canemap("preview", "s1", "--bands", "quux")
    assert code == 3 and errors.startswith("--bands: ")
    assert not (tmp_path / "preview.png").exists()
    assert canemap("preview", "nosuch")[0] == 3


def test_areas_are_saved_as_a_file_in_the_language_of_the_command(
    canemap: Canemap, http: httpx.Client, tmp_path: Path
) -> None:
    content = zones_file(tmp_path / "counties.geojson").read_bytes()
    http.put("/v1/zones/counties", content=content, params={"code_field": "code"}).raise_for_status()
    prediction = http.get("/v1/predictions").json()["features"][0]["id"]
    asked = ("areas", prediction, "--zones", "counties", "--out")
    assert canemap(*asked, "a.xlsx", "--lang", "zh") == (0, "a.xlsx\n", "")
    fields = pyogrio.read_info(tmp_path / "a.xlsx")["fields"]
    assert "制图面积（公顷）" in fields and "mapped_ha" not in fields
    assert canemap(*asked, "a.csv")[0] == 0
    (line,) = csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text(encoding="utf-8-sig")))
    assert line["zone"] == "450122" and line["prediction"] == prediction
    assert canemap(*asked, "deep/a.geojson")[0] == 0
    (feature,) = json.loads((tmp_path / "deep" / "a.geojson").read_bytes())["features"]
    assert f"{feature['properties']['observed_ha']:.4f}" == f"{float(line['observed_ha']):.4f}"
    code, _, errors = canemap(*asked, "a.pdf")
    assert code == 2 and ".xlsx" in errors
    assert canemap("areas", prediction, prediction, "--out", "a.csv")[0] == 2


def test_a_small_scene_is_split_by_blocks(canemap: Canemap, http: httpx.Client) -> None:
    asked = ("dataset", "blocks", "--blocks", "s1", "--labels", "truth", "--block-px", "64")
    code, _, errors = canemap(*asked)
    assert code == 3 and "make --buffer-px smaller" in errors
    assert canemap(*asked, "--buffer-px", "24", "--no-wait")[0] == 0
    assert "greater than or equal to 1. Allowed: at least 1." in canemap("train", "gx:1", "--set", "epochs=0")[2]
    split = http.get("/v1/datasets/blocks:1").json()["split"]
    assert (split["block_px"], split["buffer_px"]) == (64, 24)


def test_a_signed_address_is_printed(canemap: Canemap, http: httpx.Client) -> None:
    prediction = http.get("/v1/predictions").json()["features"][0]["id"]
    code, printed, _ = canemap("sign", f"/v1/predictions/{prediction}/classes.tif", "--expires-s", "60")
    assert code == 0 and printed.startswith(f"{http.base_url}/v1/predictions/{prediction}/classes.tif?signature=")
    assert httpx.get(printed.strip()).content == http.get(f"/v1/predictions/{prediction}/classes.tif").content
    code, _, errors = canemap("sign", "/v1/models", "--json")
    assert code == 3 and json.loads(errors)["errors"][0]["pointer"] == "/path"
