"""The examples work as documented, for a portal with a key."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.settings import Settings
from ml.synthetic import SyntheticScene
from tests.app.api.access import OTHER, make_key, showing
from tests.e2e.conftest import TINY, up

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def folder(world: dict[str, SyntheticScene], tmp_path: Path) -> Path:
    """The folder that the examples expect: three scenes, and the plots of two of them in one file."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, scene in (("train", "train"), ("val", "val"), ("new", "unseen")):
        (folder / f"{name}.tif").write_bytes(world[scene].image.read_bytes())
    plots = [json.loads(world[name].plots.read_text()) for name in ("train", "val")]
    features = [feature for layer in plots for feature in layer["features"]]
    (folder / "plots.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return folder


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a portal's programs: its key, and a service that asks for one."""
    with up(tmp_path_factory.mktemp("keys"), CANEMAP_AUTH="keys") as stack:
        key = make_key(Settings(data_dir=stack.folder / "data"), OTHER, "train")
        yield {"CANEMAP_URL": stack.url, "CANEMAP_KEY": key, "PYTHONPATH": str(EXAMPLES.parent)}


def run(script: str, *arguments: object, portal: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run an example."""
    program = "bash" if script.endswith(".sh") else sys.executable
    command = [program, str(EXAMPLES / script), *map(str, arguments)]
    return subprocess.run(command, env=os.environ | portal, capture_output=True, text=True)


@pytest.mark.parametrize("script", ["main_job.sh", "main_job.py"])
def test_the_examples_end_with_hectares(script: str, portal: dict[str, str], folder: Path) -> None:
    ran = run(script, folder, json.dumps(TINY), portal=portal)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "mapped_ha" in ran.stdout or "sugarcane: " in ran.stdout
    assert list(folder.rglob("classes.tif"))


def test_the_examples_say_that_a_key_is_missing(portal: dict[str, str], folder: Path) -> None:
    for script, said in (("main_job.sh", "401"), ("main_job.py", "The request shows no key")):
        ran = run(script, folder, portal=portal | {"CANEMAP_KEY": ""})
        assert ran.returncode != 0
        assert said in ran.stderr
        assert "Traceback" not in ran.stderr


def test_the_python_example_prints_a_fault_without_a_traceback(portal: dict[str, str], folder: Path) -> None:
    ran = run("main_job.py", folder, '{"epochs": 0}', portal=portal)
    assert ran.returncode == 1
    assert "epochs" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("script", ["resumed_upload.sh", "resumed_upload.py"])
def test_an_interrupted_upload_goes_on_at_the_next_run(script: str, portal: dict[str, str], folder: Path) -> None:
    file, name = folder / "new.tif", script.replace("_", "-")
    content, url = file.read_bytes(), portal["CANEMAP_URL"]
    with httpx.Client(base_url=url, headers=showing(portal["CANEMAP_KEY"]), verify=False) as http:
        begun = http.post("/v1/uploads").headers["location"]  # what the first run leaves if it is killed
        half = len(content) // 2
        assert http.patch(begun, content=content[:half], headers={"Upload-Offset": "0"}).status_code == 204
        note = folder / "new.tif.upload"
        note.write_text(begun if script.endswith(".py") else f"{url}{begun}\n")
        for known in (name, f"{name}-anew"):
            ran = run(script, file, known, portal=portal)
            assert ran.returncode == 0, ran.stdout + ran.stderr
            sent_from = half if known == name else 0
            assert ran.stderr.splitlines() == [f"{sent_from} of {len(content)} bytes"], "nothing was sent twice"
            checksum = http.get(f"/v1/scenes/{known}").json()["assets"]["data"]["file:checksum"]
            assert checksum.endswith(hashlib.sha256(content).hexdigest())
            assert not note.exists()
