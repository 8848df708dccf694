"""The command line, called as a person or a script calls it, against a running service."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shapely
from shapely.geometry import shape

from app.client import Client
from ml.synthetic import SyntheticScene
from tests import commands
from tests.app.operations.test_supervise import lives
from tests.e2e.conftest import TINY, Stack
from tests.ml.conftest import write_scene
from tests.waiting import eventually

World = dict[str, SyntheticScene]
Canemap = Callable[..., "subprocess.CompletedProcess[str]"]
CLASSES = ["--class-field", "crop", "--classes", "sugarcane=1,*=0", "--background", "0"]  # as `upload` in conftest


@pytest.fixture(scope="module")
def canemap(live: Stack) -> Canemap:
    """A function that runs a command against the live service."""

    def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        return commands.run(*arguments, env=os.environ | {"CANEMAP_URL": live.url, "COLUMNS": "200"})

    return run


@pytest.fixture(scope="module")
def dataset(canemap: Canemap, world: World) -> str:
    """The id of a dataset, made by commands that also upload its scenes and labels."""
    for name in ("train", "val", "unseen"):
        assert canemap("upload", world[name].image).returncode == 0
    for name in ("train", "val"):
        assert canemap("label", world[name].plots, *CLASSES).returncode == 0
    made = canemap("dataset", "by-hand", "--train", "train", "--val", "val", "--labels", "train,val", "--json")
    return str(json.loads(made.stdout)["id"])


def estimate_by_a_sample(canemap: Canemap, prediction: str, scene: SyntheticScene, folder: Path) -> None:
    """Draw points of a map, answer them from the true plots, and compare the estimate with the true hectares."""
    made = canemap("sample", "draw", prediction, "--points", "300", "--json")
    assert made.returncode == 0, made.stderr
    drawn = json.loads(made.stdout)
    assert drawn["n"] == 300 and drawn["why"] == "The model was not scored on a test split."
    assert "Overall accuracy" not in canemap("sample", "estimate", drawn["id"]).stderr, "there is no answer yet"
    points = folder / "points.csv"
    assert canemap("sample", "export", drawn["id"], points).returncode == 0
    with points.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    plots = [
        (shape(each["geometry"]), each["properties"]["crop"])
        for each in json.loads(scene.plots.read_text())["features"]
    ]
    cane = shapely.union_all([outline for outline, crop in plots if crop == "sugarcane"])
    for row in rows:
        row["class"] = "sugarcane" if cane.contains(shapely.points(float(row["lon"]), float(row["lat"]))) else "other"
    with points.open("w", encoding="gbk", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    sent = canemap("sample", "answer", drawn["id"], points)
    assert (sent.returncode, "300 answers are new" in sent.stderr) == (0, True), sent.stderr
    found = json.loads(canemap("sample", "estimate", drawn["id"], "--json").stdout)
    area = found["items"][1]
    assert abs(area["estimated_ha"] - scene.truth_ha["sugarcane"]) < 4 * area["se_ha"]
    shown = canemap("sample", "estimate", drawn["id"])
    assert "estimated_ha" in shown.stdout and "users_accuracy" in shown.stdout
    assert f"Overall accuracy: {100 * found['overall']['value']:.2f} %" in shown.stderr
    assert f"{drawn['id']}\t" in canemap("sample", "list").stdout
    assert "300\t300\t0\t0\t0" in canemap("sample", "show", drawn["id"]).stdout
    assert (
        len(json.loads(canemap("sample", "chips", drawn["id"], folder / "chips", "--first", "2", "--json").stdout)) == 2
    )
    assert (folder / "chips" / "2.png").read_bytes().startswith(b"\x89PNG")
    assert canemap("sample", "export", drawn["id"], folder / "points.xyz").returncode == 2
    assert canemap("delete", "sample", drawn["id"], "--yes").returncode == 0


def map_as_one(canemap: Canemap, scene: str, folder: Path) -> None:
    """Make two surveys of a scene that is mapped already, and compare them."""
    made = [canemap("survey", "create", "--model", "hand", scene, "--overlap", "best", "--json") for _ in range(2)]
    assert made[0].returncode == 0, made[0].stderr
    first, second = (json.loads(each.stdout)["id"] for each in made)
    (row,) = json.loads(canemap("survey", "areas", first, "--json").stdout)
    (change,) = json.loads(canemap("survey", "compare", second, first, "--json").stdout)
    assert (change["gain_ha"], change["loss_ha"], change["net_ci95_ha"]) == (0, 0, None)
    assert abs(change["later_ha"] - row["mapped_ha"]) < 1e-6
    assert "net_ha" in canemap("survey", "compare", second, first).stdout
    assert "net_ci95_low_ha" in canemap("survey", "compare", second, first, "--csv").stdout
    assert "mapped_ha" in canemap("survey", "areas", first).stdout
    assert scene in canemap("survey", "show", first).stdout
    assert f"{second}\t" in canemap("survey", "list").stdout
    assert canemap("survey", "download", first, folder / "survey").returncode == 0
    files = {path.name for path in (folder / "survey").iterdir()}
    assert files == {"mosaic.tif", "mosaic.qml", "sources.tif", "web.tif"}
    assert canemap("survey", "create", "--model", "hand", "--bbox", "a,b").returncode == 2
    for id_ in (first, second):
        assert canemap("survey", "delete", id_, "--yes").returncode == 0


def test_commands_lead_from_a_training_to_hectares(
    canemap: Canemap, dataset: str, world: World, tmp_path: Path
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(TINY))
    trained = canemap("train", dataset, "--register-as", "hand", "--config", config, "--set", "epochs=1")
    assert trained.returncode == 0, trained.stderr
    assert "registered hand version 1" in trained.stdout and "@champion" not in trained.stdout
    assert "kappa" in trained.stdout
    assert "training successful train" in trained.stderr  # plain lines, because there is no terminal

    scored = canemap("evaluate", "hand", dataset, "--split", "val", "--json")
    assert json.loads(scored.stdout)["metrics"]["confusion"], scored.stderr
    assert "kappa" in canemap("evaluate", "hand:1", dataset, "--split", "val").stdout
    assert canemap("evaluate", "hand@nowhere", dataset).returncode == 3

    in_parts = canemap("predict", "unseen", "--model", "hand", "--parts", "2", "--simplify-m", "15", "--json")
    assert in_parts.returncode == 0, in_parts.stderr
    assert json.loads(in_parts.stdout)["properties"]["config"]["simplify_m"] == 15

    mapped = canemap("predict", "unseen", "--model", "hand", "--out", tmp_path / "out")
    assert mapped.returncode == 0, mapped.stderr
    assert "mapped_ha" in mapped.stdout
    saved = {path.name for path in (tmp_path / "out").iterdir()}
    assert saved >= {"classes.tif", "areas.csv", "item.json"}
    assert "mapped_ha" in (tmp_path / "out" / "areas.csv").read_text(encoding="utf-8-sig")
    assert json.loads((tmp_path / "out" / "item.json").read_text())["type"] == "Feature"
    assert "tilejson.json" in mapped.stderr
    assert "unseen by hand:1" in mapped.stderr
    assert "no interval for sugarcane: The model was not scored on a test split." in mapped.stderr

    (model,) = [model for model in json.loads(canemap("models", "--json").stdout) if model["name"] == "hand"]
    newest = str(len(model["versions"]))
    assert f"hand@steady is version {newest}" in canemap("promote", "hand", newest, "--alias", "steady").stdout
    assert "hand" in canemap("models").stdout
    newest_job = json.loads(canemap("jobs", "--json").stdout)[0]
    assert newest_job["processID"] == "prediction"
    assert "mapped_ha" in canemap("areas", newest_job["jobID"]).stdout
    estimate_by_a_sample(canemap, newest_job["jobID"], world["unseen"], tmp_path)
    map_as_one(canemap, "unseen", tmp_path)
    replayed = canemap("replay", newest_job["jobID"])
    assert replayed.returncode == 0, replayed.stdout
    assert "byte by byte" in replayed.stdout

    options = ("--preset", "robust", "--config", config, "--set", "epochs=1")
    again = canemap("train", dataset, "--register-as", "hand", *options)
    assert "hand@champion is still version 1: `canemap promote hand 2` moves it" in again.stdout
    assert json.loads(canemap("trainings", "--json").stdout)[0]["config"]["preset"] == "robust-1"
    listed = [line.split("\t")[:3] for line in canemap("models").stdout.splitlines()]
    assert [row for row in listed if row[0] == "hand"] == [["hand", "2", ""], ["hand", "1", "champion, steady"]]
    assert f"\t{dataset}\thand:2\t" in canemap("trainings").stdout
    assert "\tunseen\thand:1\t" in canemap("predictions", "--limit", "1000").stdout


def test_commands_compare_variants_and_check_a_table(canemap: Canemap, dataset: str, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(TINY | {"epochs": 1, "review_labels": False}))
    wider = ["--variant", "plain", "--variant", "wide:net.width=12"]
    compared = canemap("compare", dataset, *wider, "--seeds", "0", "--config", config, "--out", tmp_path / "out")
    assert compared.returncode == 0, compared.stderr
    assert "| wide | val |" in compared.stdout
    assert "There is no test split" in compared.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"table.csv", "table.md", "table.json", "panels.png"}
    assert canemap("compare", dataset, "--variant", "plain:net.wdith=3").returncode == 3
    impossible = canemap("check-table", "0.8942", "0.7462", "0.7780")
    assert impossible.returncode == 4
    assert "cannot come from the same confusion" in impossible.stdout


def test_commands_make_change_and_remove_a_schedule(canemap: Canemap, dataset: str) -> None:
    made = ["schedule", "add", "autumn", dataset, "--cron", "0 2 1 10 *", "--timezone", "Asia/Shanghai"]
    refused = canemap(*made, "--floor", "iou=0.5")
    assert (refused.returncode, "no test split" in refused.stderr) == (3, True), refused.stderr
    assert canemap(*made, "--guard", "recall").returncode == 2
    added = canemap(*made, "--no-promote", "--set", "epochs=10000", "--set", "net.width=8")
    assert "10-01T02:00:00+08:00" in added.stdout, added.stderr
    assert "autumn" in canemap("schedule", "list").stdout
    started = json.loads(canemap("schedule", "run", "autumn", "--json").stdout)
    assert canemap("jobs", started["training"], "--dismiss").returncode == 0
    deadline = time.monotonic() + 120
    while "dismissed" not in canemap("schedule", "runs", "autumn").stdout:
        assert time.monotonic() < deadline
    assert "is paused" in canemap("schedule", "pause", "autumn").stdout
    assert "runs next" in canemap("schedule", "resume", "autumn").stdout
    assert canemap("schedule", "remove", "autumn").returncode == 0


def test_a_refused_upload_names_its_fault_and_exits_with_3(canemap: Canemap, tmp_path: Path) -> None:
    (tmp_path / "notes.tif").write_text("not a raster at all")
    refused = canemap("upload", tmp_path / "notes.tif")
    assert refused.returncode == 3
    assert "TIFF" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_lists_say_what_the_service_holds(canemap: Canemap, dataset: str) -> None:
    scenes = canemap("scenes", "--limit", "1000").stdout.splitlines()
    assert scenes[0].split("\t") == ["scene", "acquired", "rows", "cols", "gsd_m", "bands", "mib", "title"]
    assert any(line.startswith("unseen\t\t320\t320\t0.80\tblue, green, red, nir\t") for line in scenes)
    (layer,) = [line for line in canemap("labels", "--limit", "1000").stdout.splitlines() if line.startswith("train\t")]
    assert "sugarcane " in layer
    (made,) = [line for line in canemap("datasets").stdout.splitlines() if line.startswith(f"{dataset}\t")]
    assert made.split("\t")[2:5] == ["successful", "2", "scene"]
    assert "unlabelled" in made
    short = canemap("scenes", "--limit", "1")
    assert (len(short.stdout.splitlines()), "There are more" in short.stderr) == (2, True)


def test_several_files_are_uploaded_and_those_that_are_refused_are_named(
    canemap: Canemap, world: World, tmp_path: Path
) -> None:
    bad = [tmp_path / "bad-1.tif", tmp_path / "bad-2.tif"]
    for path in bad:
        path.write_text("not a raster")
    good = [world[name].image for name in ("train", "val", "test", "unseen")]
    done = canemap("upload", bad[0], *good, bad[1], "--json")
    assert done.returncode == 3
    assert [item["id"] for item in json.loads(done.stdout)] == ["train", "val", "test", "unseen"]
    problems = json.loads(done.stderr.splitlines()[-1])["problems"]
    assert [problem["file"] for problem in problems] == ["bad-1.tif", "bad-2.tif"]
    said = canemap("upload", *bad, *good)
    assert [line.split(":")[0] for line in said.stderr.splitlines()] == ["bad-1.tif", "bad-2.tif"]
    assert said.stdout.count("scene ") == 4
    both = canemap("label", world["train"].plots, world["val"].plots, *CLASSES, "--json")
    assert [item["id"] for item in json.loads(both.stdout)] == ["train", "val"]
    assert canemap("label", *bad, "--name", "x").returncode == 2


def test_what_is_odd_about_a_scene_is_said(canemap: Canemap, tmp_path: Path) -> None:
    path = tmp_path / "odd.tif"
    pixels = np.zeros((1, 64, 64), np.uint8)
    pixels[0, :, 32:] = np.arange(32 * 64).reshape(64, 32) % 200 + 20
    write_scene(path, pixels)
    done = canemap("upload", path)
    (warning,) = json.loads(canemap("scenes", "--json").stdout)[0]["properties"]["warnings"]
    assert warning["detail"] in done.stderr
    assert "--nodata" in done.stderr and "?nodata" not in done.stderr


def test_ctrl_c_while_waiting_names_the_job_that_goes_on(canemap: Canemap, live: Stack, dataset: str) -> None:
    started = canemap("train", dataset, "--set", "epochs=10000", "--set", "net.width=8", "--no-wait").stdout.strip()
    command = [sys.executable, "-m", "app.cli", "jobs", started, "--follow"]
    environment, pipe = os.environ | {"CANEMAP_URL": live.url}, subprocess.PIPE
    with subprocess.Popen(command, env=environment, stderr=pipe, text=True, preexec_fn=_accept_ctrl_c) as waiting:
        assert waiting.stderr is not None
        assert "training" in waiting.stderr.readline()
        waiting.send_signal(signal.SIGINT)
        said = waiting.stderr.read()
        assert waiting.wait(60) == 130
    assert f"canemap jobs {started} --dismiss" in said
    assert json.loads(canemap("jobs", started, "--json").stdout)["status"] in ("accepted", "running")
    assert canemap("jobs", started, "--dismiss").returncode == 0
    assert canemap("jobs", started, "--follow").returncode == 5
    assert started in canemap("jobs", "--follow", "--limit", "5").stdout, "it ends when no job is left"


def test_wrong_usage_exits_with_2(canemap: Canemap) -> None:
    assert canemap("train").returncode == 2
    assert canemap("train", "x:1", "--set", "epochs").returncode == 2


def test_a_failed_job_exits_with_4(canemap: Canemap, world: World) -> None:
    canemap("upload", world["train"].image)
    canemap("label", world["train"].plots, *CLASSES)
    failed = canemap("dataset", "one-block", "--blocks", "train", "--labels", "train")
    assert failed.returncode == 4
    assert "smaller --block-px" in failed.stderr


def test_a_dismissed_job_exits_with_5(canemap: Canemap, live: Stack, dataset: str) -> None:
    command = [sys.executable, "-m", "app.cli", "train", dataset, "--set", "epochs=10000", "--set", "net.width=8"]
    environment = os.environ | {"CANEMAP_URL": live.url}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as train:
        assert train.stdout is not None
        job = train.stdout.readline().strip()
        assert canemap("jobs", job, "--dismiss").returncode == 0
        assert train.wait(120) == 5


def test_a_service_that_cannot_be_reached_exits_with_3_and_a_hint(live: Stack) -> None:
    environment = os.environ | {"CANEMAP_URL": "http://127.0.0.1:9"}
    run = commands.run("models", env=environment)
    assert run.returncode == 3
    assert "canemap up" in run.stderr


@pytest.mark.parametrize("command", ["up", "serve"])
def test_a_service_that_asks_for_no_key_refuses_to_listen_beyond_the_loopback(tmp_path: Path, command: str) -> None:
    environment = os.environ | {"CANEMAP_AUTH": "none", "CANEMAP_DATA_DIR": str(tmp_path)}
    refused = commands.run(command, "--host", "0.0.0.0", env=environment)
    assert refused.returncode == 2
    assert "CANEMAP_AUTH" in refused.stderr


def _accept_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupted_demo_leaves_no_process_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "app.cli", "demo", "--folder", str(tmp_path)]
    pipe = subprocess.PIPE
    # a shell without job control makes background processes ignore Ctrl-C, and the demo would inherit that
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, preexec_fn=_accept_ctrl_c) as demo:
        assert demo.stdout is not None
        while "The service runs at" not in (line := demo.stdout.readline()):
            assert line
        found = subprocess.run(["ps", "--ppid", str(demo.pid), "-o", "pid="], capture_output=True, text=True)
        children = [int(pid) for pid in found.stdout.split()]
        assert len(children) == 3
        demo.send_signal(signal.SIGINT)
        assert demo.wait(120) == 130
    eventually(lambda: not any(lives(pid) for pid in children))


def test_the_client_finds_a_scene_that_the_command_line_uploaded(live: Stack, canemap: Canemap, world: World) -> None:
    canemap("upload", world["test"].image, "--name", "by-name", "--bands", "b,g,r,nir")
    with Client(live.url) as client:
        (item,) = [item for item in client.scenes() if item["id"] == "by-name"]
    assert [band["name"] for band in item["assets"]["data"]["bands"]] == ["b", "g", "r", "nir"]
