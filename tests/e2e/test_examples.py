"""The examples work as documented, against a running service."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ml.synthetic import SyntheticScene
from tests.e2e.conftest import TINY, Stack

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


@pytest.mark.parametrize("command", [["bash", "main_job.sh"], [sys.executable, "main_job.py"]], ids=["curl", "python"])
def test_the_examples_end_with_hectares(command: Sequence[str], live: Stack, folder: Path) -> None:
    program, script = command
    environment = os.environ | {"CANEMAP_URL": live.url, "PYTHONPATH": str(EXAMPLES.parent)}
    run = subprocess.run(
        [program, EXAMPLES / script, folder, json.dumps(TINY)], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "mapped_ha" in run.stdout or "sugarcane: " in run.stdout
    assert list(folder.rglob("classes.tif"))


def test_the_python_example_prints_a_fault_without_a_traceback(live: Stack, folder: Path) -> None:
    environment = os.environ | {"CANEMAP_URL": live.url, "PYTHONPATH": str(EXAMPLES.parent)}
    command: list[str | Path] = [sys.executable, EXAMPLES / "main_job.py", folder, '{"epochs": 0}']
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 1
    assert "epochs" in run.stderr
    assert "Traceback" not in run.stderr
