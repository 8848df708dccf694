"""`python -m ml` trains and predicts from a shell."""

import csv
import hashlib
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ml.__main__ import cli
from ml.checkpoint_header import read_header
from ml.cli.inputs import files_in, merged, read_split
from ml.cli.output import EXIT_REFUSED
from ml.native import library
from tests.ml.nn.conftest import fields, write_labelled
from tests.ml.nn.training.ranked import launch

SMALL = ("net.depth=2", "net.width=2", "chip_size=32", "batch_size=4", "epochs=1", "steps_per_epoch=2", "device=cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with scenes/, labels/ (one raster mask for each scene) and split.csv."""
    for name in ("scenes", "labels"):
        (tmp_path / name).mkdir()
    with (tmp_path / "split.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["chip", "place", "split"])
        for seed, split in enumerate(["train", "train", "val", "unused"]):
            scene = write_labelled(tmp_path, f"s{seed}", *fields(seed, 64, 64), north=2_500_000 + 10_000 * seed)
            scene.path.rename(tmp_path / "scenes" / f"s{seed}.tif")
            scene.mask.rename(tmp_path / "labels" / f"s{seed}.tif")
            writer.writerow([f"s{seed}", "x", split])
    return tmp_path


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def train_arguments(folder: Path, *settings: str) -> list[str | Path]:
    files: list[str | Path] = [
        "--scenes",
        folder / "scenes",
        "--labels",
        folder / "labels",
        "--split",
        folder / "split.csv",
    ]
    return ["train", *files, "--out", folder / "out", *(word for setting in settings for word in ("--set", setting))]


def test_a_model_is_trained_and_then_used_to_predict(folder: Path) -> None:
    code, output = run(*train_arguments(folder, *SMALL))
    assert code == 0, output
    assert "kappa" in output
    model = folder / "out" / "model.safetensors"
    assert read_header(model).config.net.width == 2
    code, output = run("predict", "--model", model, "--scene", folder / "scenes" / "s3.tif", "--out", folder / "map")
    assert code == 0, output
    assert "observed 41.0 ha, not observed 0.0 ha" in output
    assert (folder / "map" / "classes.tif").exists()
    drawn = {path.stem for path in (folder / "out" / "figures").rglob("*.png")}
    assert drawn == {
        *("loss", "validation", "panels", "augmentation", "unet", "hinge", "balance", "reliability", "samples")
    }


def test_a_model_can_begin_with_another_one_and_with_a_preset(folder: Path) -> None:
    assert run(*train_arguments(folder, *SMALL))[0] == 0
    origin = folder / "out" / "model.safetensors"
    warm = ("--preset", "robust", "--init", origin, "--out", folder / "warm")
    code, output = run(*train_arguments(folder, *SMALL), *warm)
    assert code == 0, output
    assert "the average up to epoch 1 of 1 is kept" in output
    config = read_header(folder / "warm" / "model.safetensors").config
    assert (config.init, config.preset) == (f"sha256:{hashlib.sha256(origin.read_bytes()).hexdigest()}", "robust-1")


def test_two_processes_train_one_model_and_only_one_of_them_prints(folder: Path) -> None:
    code, output = launch("-m", "ml", *train_arguments(folder, *SMALL))
    assert code == 0, output
    assert output.count("epoch 1 of 1 is kept") == 1
    assert output.count("val_iou") == 1, "one row of the series"
    assert read_header(folder / "out" / "model.safetensors").best_epoch == 1
    assert not (folder / "out" / "scratch").exists()


def test_comparison_and_prediction_are_refused_in_several_processes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "set by the launcher")
    code, output = run("compare", *train_arguments(folder, *SMALL)[1:])
    assert code == EXIT_REFUSED
    assert "one_process" in output
    code, output = run("predict", "--model", folder / "split.csv", "--scene", folder, "--out", folder / "map")
    assert code == EXIT_REFUSED
    assert "Start it without torchrun" in output


def test_compare_writes_the_table_and_the_figures_and_repeats_no_finished_training(folder: Path) -> None:
    arguments = ["compare", *train_arguments(folder, *SMALL)[1:], "--seeds", "0,1", "--figures", "svg"]
    code, output = run(*arguments)
    assert code == 0, output
    assert r"ce+0.5\*lovasz" in (folder / "out" / "table.md").read_text()
    assert {path.stem for path in (folder / "out" / "figures").glob("*.svg")} == {
        *("table", "loss", "validation", "panels", "differences"),
    }
    models = sorted((folder / "out" / "runs").rglob("model.safetensors"))
    written = [model.stat().st_mtime_ns for model in models]
    assert len(models) == 4
    code, output = run(*arguments)
    assert code == 0, output
    assert [model.stat().st_mtime_ns for model in models] == written, "finished trainings are not repeated"


def test_check_table_tells_possible_metrics_from_impossible_ones() -> None:
    code, output = run("check-table", "0.8942", "0.7462", "0.7780")
    assert code == 4
    assert "cannot come from the same confusion" in output.replace("\n", " ")
    assert run("check-table", "0.9", "0.6667", "0.7368")[0] == 0


def test_the_engine_command_describes_the_engine_of_this_cpu() -> None:
    code, output = run("engine")
    assert (code, output.splitlines()[0]) == (0, library.describe()[0])


def test_a_refused_input_is_reported_with_its_remedy_and_without_a_traceback(folder: Path) -> None:
    (folder / "model").write_text("no model")
    code, output = run("predict", "--model", folder / "model", "--scene", folder / "split.csv", "--out", folder / "map")
    assert code == EXIT_REFUSED
    assert "bad_checkpoint" in output
    assert "Use the whole file model.safetensors" in output


def test_a_file_of_options_is_checked_like_a_request(folder: Path) -> None:
    options = {"homogenise": "none", "clip_outliers": False, "classes": [{"value": 0, "name": "all"}]}
    (folder / "options.json").write_text(json.dumps(options))
    code, output = run(*train_arguments(folder), "--data", folder / "options.json")
    assert code == EXIT_REFUSED
    assert output.split()[0] == "too_few_classes"


def test_an_unknown_setting_is_refused_and_named(folder: Path) -> None:
    code, output = run(*train_arguments(folder, "net.wdith=3"))
    assert code == EXIT_REFUSED
    assert "net.wdith" in output


def test_settings_override_the_config_file(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps({"net": {"depth": 3, "width": 8}, "epochs": 5}))
    settings = ["net.width=16", "optimizer.name=adamw", "augment=[]", "max_steps=null"]
    assert merged(tmp_path / "c.json", settings) == {
        "net": {"depth": 3, "width": 16},
        "epochs": 5,
        "optimizer": {"name": "adamw"},
        "augment": [],
        "max_steps": None,
    }
    assert merged(None, None) == {}


def test_a_setting_without_a_value_is_a_usage_error() -> None:
    with pytest.raises(typer.BadParameter, match="key=value"):
        merged(None, ["net.width"])


def test_the_split_file_has_the_names_of_scenes_in_its_first_column(folder: Path) -> None:
    assert read_split(folder / "split.csv") == {"train": ("s0", "s1"), "val": ("s2",), "test": ()}


def test_a_folder_stands_for_the_files_in_it(folder: Path) -> None:
    found = list(files_in([folder / "split.csv", folder / "labels"]))
    assert [path.name for path in found] == ["split.csv", "s0.tif", "s1.tif", "s2.tif", "s3.tif"]


@pytest.fixture
def tables(tmp_path: Path) -> list[str | Path]:
    """Olofsson et al. 2014, table 8, as two CSV files; the areas are in pixels of 0.09 ha."""
    (tmp_path / "counts.csv").write_text(",loss,gain,f,n\nloss,66,0,5,4\ngain,0,55,8,12\nf,1,0,153,11\nn,2,1,9,313\n")
    (tmp_path / "areas.csv").write_text("loss,200000\ngain,150000\nf,3200000\nn,6450000\n")
    return ["estimate", "--counts", tmp_path / "counts.csv", "--areas", tmp_path / "areas.csv"]


def test_areas_are_estimated_from_two_csv_files(tables: list[str | Path]) -> None:
    code, output = run(*tables, "--pixel-ha", "0.09", "--json")
    found = json.loads(output)
    assert code == 0
    assert found["unit"] == "ha"
    first = found["classes"][0]
    assert (first["class"], round(first["area"], 3), round(1.96 * first["se"], 3)) == ("loss", 21157.762, 6157.634)
    assert first["ci95"] == pytest.approx([21157.762 - 6157.634, 21157.762 + 6157.634], abs=1e-3)
    assert (round(found["overall"]["value"], 6), round(found["overall"]["se"], 7)) == (0.946512, 0.0094304)
    assert [round(one["value"], 4) for one in found["users"]] == [0.88, 0.7333, 0.9273, 0.9631]
    assert [round(one["value"], 4) for one in found["producers"]] == [0.7487, 0.8472, 0.9345, 0.9616]


def test_the_table_of_estimates_has_all_digits_and_what_is_to_be_known(tables: list[str | Path]) -> None:
    code, output = run(*tables, "--pixel-ha", "0.09")
    assert code == 0
    assert all(number in output for number in ("21,157.76", "3,141.65", "15,000.13", "27,315.40", "0.9465", "0.0094"))
    assert "0 of the 165 points mapped as f are truly gain." in output


def test_a_class_without_a_point_is_told_and_all_faults_are(tables: list[str | Path], tmp_path: Path) -> None:
    (tmp_path / "counts.csv").write_text("0,0,0,0\n0,55,8,12\n1,0,153,11\n2,1,9,313\n")
    code, output = run(*tables, "--json")
    found = json.loads(output)
    assert code == 0
    assert [one["area"] for one in found["classes"]] == [None] * 4
    assert "Class loss is on the map and has no sample point" in found["classes"][0]["why"]
    (tmp_path / "counts.csv").write_text("66,0,5,4\n0,-55,8,12\n1,0,153.5,11\n2,1,x,313\n")
    code, output = run(*tables)
    assert code == EXIT_REFUSED
    assert all(fault in output for fault in ("negative_count", "fraction_as_count", "not_a_number"))


def test_a_pixel_without_an_area_is_no_option(tables: list[str | Path]) -> None:
    assert [run(*tables, "--pixel-ha", size)[0] for size in ("0", "-1", "nan")] == [2, 2, 2]
