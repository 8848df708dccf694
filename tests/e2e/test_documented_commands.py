"""Every command of the documentation is run as it stands, in a fresh folder, against a service of its own."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from shapely.geometry import MultiPoint, box, shape

from app.client import Client
from ml.synthetic import make_scene
from tests import commands
from tests.documented import PAGES, ROOT, Block, blocks
from tests.e2e.conftest import SIZE_PX, up
from tests.ml.labels.layers import geopackage, zipped_shapefile

ADDRESS = "http://127.0.0.1:8000"  # of the pages; the service of the test has another one
DATA = "/var/lib/canemap"  # likewise, its data folder
SMALLER = {  # so that it takes seconds and not hours
    '"epochs": 20': '"epochs": 1',
    '"width": 32': '"width": 4',
    "epochs=20": "epochs=1",
    "epochs=40": "epochs=1",
    "net.width=32": "net.width=4",
    "net.width=16": "net.width=4",
    "size_px=768": "size_px=256",
    "--lovasz 0,0.25,0.5,1": "--lovasz 0,0.5 --seeds 0",
}
EACH_FAILURE = """trap 'echo "FAILED: $BASH_COMMAND" >&2' ERR\n"""
CANEMAP = """#!{python} -S
import os, pathlib, sys

sys.path.insert(0, "{root}")
from tests.commands import ask

sys.exit(ask(pathlib.Path("{server}"), sys.argv[1:], os.environ, pathlib.Path.cwd(), (0, 1, 2)))
"""  # the same as `python -m app.cli`, in a twentieth of the time
AT_THE_END = "echo at the end"
CHINESE = ("甘蔗", "新植蔗", "宿根蔗", "水稻", "林地")  # crops of docs/zh/labels.md
REFUSED = {"canemap check-table 0.8942 0.7462 0.7780"}  # which says so beside it: exit code 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the tour starts from: s1.tif to s4.tif, and the plots of the first three."""
    folder, made = tmp_path_factory.mktemp("mine"), tmp_path_factory.mktemp("made")
    scenes = [make_scene(made, f"s{number}", seed=number, size_px=SIZE_PX) for number in range(1, 5)]
    for scene in scenes:
        (folder / scene.image.name).write_bytes(scene.image.read_bytes())
    features = [each for scene in scenes[:3] for each in json.loads(scene.plots.read_text())["features"]]
    plots = [(shape(each["geometry"]), each["properties"]) for each in features]
    geopackage(folder / "plots.gpkg", plots, crs=4326)
    mapped = [shape(each["geometry"]) for scene in scenes for each in json.loads(scene.plots.read_text())["features"]]
    around = box(*MultiPoint([point for outline in mapped for point in outline.exterior.coords]).bounds)
    geopackage(folder / "counties.gpkg", [(around, {"code": "450122", "name": "武鸣区"})], crs=4326)
    in_chinese = [(outline, {"作物": CHINESE[index % len(CHINESE)]}) for index, (outline, _) in enumerate(plots)]
    zipped_shapefile(folder / "调查地块.zip", in_chinese, prj="EPSG:4326", encoding="gbk")
    return folder


@pytest.fixture(scope="module")
def environment(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a shell in which `canemap` and `python` are those of the test, and a service runs."""
    programs = tmp_path_factory.mktemp("bin")
    (programs / "python").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    (programs / "canemap").write_text(CANEMAP.format(python=sys.executable, root=ROOT, server=commands.server()))
    for program in programs.iterdir():
        program.chmod(0o755)
    with up(tmp_path_factory.mktemp("service")) as stack:
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        shell = {"PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        service = {"CANEMAP_URL": stack.url, "URL": stack.url, "DATA_OF_THE_SERVICE": str(stack.folder / "data")}
        yield os.environ | shell | service


def adapted(block: Block, environment: dict[str, str]) -> str:
    """The text of a block for the service of the test: it trains less, and trn_... and so on are the newest ids."""
    url = environment["CANEMAP_URL"]
    text = block.text.replace(ADDRESS, url).replace(DATA, environment["DATA_OF_THE_SERVICE"])
    for usual, smaller in SMALLER.items():
        text = text.replace(usual, smaller)
    with Client(url) as client:
        newest_of = {
            "trn_...": client.trainings,
            "prd_...": client.predictions,
            "srv_...": client.surveys,
            "smp_...": client.samples,
        }
        for mark, newest in newest_of.items():
            if mark in text:
                text = text.replace(mark, next(newest())["id"])
    return text


def run(block: Block, folder: Path, environment: dict[str, str]) -> str:
    """Run a block to its end, and return what it printed. Only the commands in `REFUSED` may fail."""
    text = adapted(block, environment)
    shell = ["bash", "-o", "pipefail", "-c", f"{EACH_FAILURE}{text}\n{AT_THE_END}"]
    command = shell if block.language == "shell" else [sys.executable, "-c", f"{text}\nprint('at the end')"]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=600)
    failed = {line.removeprefix("FAILED: ") for line in done.stderr.splitlines() if line.startswith("FAILED: ")}
    assert failed <= REFUSED, f"{block.place}\n{done.stdout}\n{done.stderr}"
    assert done.stdout.endswith("at the end\n"), f"{block.place}\n{done.stderr}"
    return done.stdout


@pytest.mark.timeout(900)
def test_every_command_of_the_documentation_works_as_it_stands(folder: Path, environment: dict[str, str]) -> None:
    said = [run(block, folder, environment) for page in PAGES for block in blocks(page) if not block.why_not]
    assert "cane@champion is still version 1" in "".join(said), "the third tour makes version 3"
    check_results(folder, environment["CANEMAP_URL"])


def check_results(folder: Path, url: str) -> None:
    """What the tours promise: maps and hectares with an interval, or the reason why there is none."""
    made = {"classes.tif", "out", "comparison", "figures", "面积.csv", "counties.csv", "counties.xlsx"}
    assert {path.name for path in folder.iterdir()} >= made
    assert (folder / "out" / "polygons.gpkg").exists()
    with Client(url) as client:
        versions = client.model("cane")["versions"]
        assert sorted(version["version"] for version in versions) == [1, 2, 3], "each tour makes a version"
        assert all(version["metrics"]["test"] for version in versions), "the tour has a test scene"
        layers = {layer["id"]: layer for layer in client.labels()}
        fields = {f"field-{number}" for number in (1, 2, 3)}
        assert {id_ for id_, layer in layers.items() if layer["options"]["background"] == 0} == fields
        (in_chinese,) = layers.keys() - fields - {"plots"}
        assert sum(row["features"] for row in layers[in_chinese]["report"]["by_class"] if row["value"] == 1)
        for prediction in client.predictions():
            (row,) = client.prediction(prediction["id"]).areas()
            assert row["ci95_ha"] or row["why"], json.dumps(row)
