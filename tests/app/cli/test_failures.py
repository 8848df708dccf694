"""What commands say that cannot do their work: a sentence that says what to do, or JSON; and never a traceback."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests import commands
from tests.app.test_client import Answer, Wire, wire

__all__ = ["wire"]  # the fixture, which pytest finds by its name

FAULT = {
    "pointer": "query:bands",
    "code": "wrong_bands",
    "detail": "There are 3 bands.",
    "hint": "Name 3: ?bands=b,g,r",
}
REFUSAL: Answer = (422, {}, {"type": "wrong-bands", "status": 422, "detail": "No.", "errors": [FAULT]})
WRONG_USAGE = [
    "train",
    "train x:1 --set epochs",
    "train x:1 --set net=1 --set net.width=2",
    "train x:1 --config WRONG",
    "compare x:1 --seeds a",
    "compare x:1 --seeds 1.5",
    "compare x:1 --lovasz a,b",
    "compare x:1 --variant plain:net",
    "label WRONG --classes {sugarcane",
    "label WRONG --classes sugarcane",
    'label WRONG --classes {"a":"b"}',
    "label missing.gpkg",
    "upload missing.tif",
    "check-table 89.42 74.62 77.80",
    "check-table 0.9 0.8 0.7 --decimals -1",
    "promote cane two",
    "jobs --limit 0",
    "jobs --log",
    "up --port 99999",
    "up --host nowhere.invalid",
    "serve --host nowhere.invalid",
    "worker --queues nonsense",
    "schedule add x gx --cron * --floor iou",
    "models --lang fr",
    "nonsense",
]


def run(*arguments: str | Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a command with these variables in its environment."""
    return commands.run(*arguments, env=os.environ | {"COLUMNS": "300"} | variables)


def problem(done: "subprocess.CompletedProcess[str]") -> dict[str, object]:
    """The problem document that a command printed, which must be the last line of its standard error."""
    assert done.stdout == ""
    found: dict[str, object] = json.loads(done.stderr.splitlines()[-1])
    assert found["exit_code"] == done.returncode
    return found


@pytest.mark.parametrize("line", WRONG_USAGE)
def test_wrong_usage_is_said_in_a_sentence_or_as_json(line: str, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("[not json")
    arguments = line.replace("WRONG", str(tmp_path / "wrong")).split()
    done = run(*arguments, "--json", CANEMAP_DATA_DIR=str(tmp_path / "data"))
    assert (done.returncode, problem(done)["type"]) == (2, "usage"), done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_wrong_usage_is_drawn_for_people(tmp_path: Path) -> None:
    done = run("check-table", "89.42", "74.62", "77.80")
    assert (done.returncode, "Write 0.8942 0.7462 0.7780" in done.stderr) == (2, True), done.stderr


def test_a_refusal_names_the_file_and_the_option(wire: Wire, tmp_path: Path) -> None:
    wire.answers = [REFUSAL]
    for name in ("s1.tif", "s2.tif"):
        (tmp_path / name).write_bytes(b"pixels")
    done = run("upload", tmp_path / "s1.tif", CANEMAP_URL=wire.url)
    assert done.returncode == 3
    assert done.stderr == "s1.tif, --bands: There are 3 bands. Name 3: --bands b,g,r\n"
    found = problem(run("upload", tmp_path / "s2.tif", "--json", CANEMAP_URL=wire.url))
    assert found["file"] == "s2.tif"
    assert found["errors"] == [FAULT | {"pointer": "--bands", "hint": "Name 3: --bands b,g,r"}]


@pytest.mark.parametrize(("status", "hint"), [(401, "Set CANEMAP_KEY"), (403, "a key that may do this")])
def test_a_missing_key_is_said_with_the_variable(wire: Wire, status: int, hint: str) -> None:
    wire.answers = [(status, {}, b"<html>proxy")]
    done = run("models", CANEMAP_URL=wire.url)
    assert (done.returncode, hint in done.stderr) == (3, True), done.stderr


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_refused_deletion_names_options_and_not_the_parts_of_a_request(wire: Wire, language: str) -> None:
    them = "delete that first, or both with ?cascade=true; &dry_run=true says what would go."
    detail = f"Scene 's1' is needed by dataset 'gx:1': {them}"
    needed = {
        "pointer": "",
        "code": "needed_by",
        "detail": "Dataset 'gx:1' needs it.",
        "hint": "DELETE /v1/datasets/gx:1",
    }
    document = {"type": "scene-in-use", "status": 409, "detail": detail, "errors": [needed]}
    wire.answers = [(200, {}, {"items": []}), (409, {}, document)]
    said = run("delete", "scene", "s1", "--yes", "--lang", language, CANEMAP_URL=wire.url).stderr
    assert "--cascade" in said and "--dry-run" in said and "`canemap delete dataset gx:1`" in said
    assert "?" not in said and "DELETE" not in said and "=true" not in said


def test_what_is_not_there_is_said_with_the_command_that_lists_what_is(wire: Wire) -> None:
    wire.answers = [(404, {}, {"type": "not-found", "status": 404, "detail": "There is no prediction 'nosuch'."})] * 2
    done = run("areas", "nosuch", CANEMAP_URL=wire.url)
    assert done.stderr == "There is no prediction 'nosuch'. `canemap predictions` lists those that there are.\n"
    done = run("areas", "nosuch", "--lang", "zh", CANEMAP_URL=wire.url)
    assert done.stderr == "没有名为 'nosuch' 的预测。`canemap predictions` 会列出现有的。\n"


@pytest.mark.parametrize("answer", [(200, {}, b"<html>a printer"), (200, {}, [1]), (404, {}, [1]), (302, {}, b"")])
def test_another_program_at_the_address_is_told_from_canemap(wire: Wire, answer: Answer) -> None:
    wire.answers = [answer]
    found = problem(run("models", "--json", CANEMAP_URL=wire.url))
    assert (found["exit_code"], wire.url in str(found["detail"])) == (3, True)


@pytest.mark.parametrize(
    ("variables", "word"),
    [
        ({"CANEMAP_URL": "localhost:8000"}, "http://127.0.0.1:8000"),
        ({"CANEMAP_URL": "http://127.0.0.1:port"}, "127.0.0.1:port"),
        ({"CANEMAP_URL": "http://127.0.0.1:9"}, "canemap up"),
        ({"CANEMAP_KEY": "密钥"}, "CANEMAP_KEY"),
    ],
)
def test_an_address_or_a_key_that_cannot_be_is_said(variables: dict[str, str], word: str) -> None:
    found = problem(run("models", "--json", **variables))
    assert (found["exit_code"], word in str(found["detail"])) == (3, True), found


@pytest.mark.parametrize("command", ["migrate", "doctor", "up", "serve", "beat", "worker"])
def test_a_setting_with_a_wrong_value_is_named(command: str, tmp_path: Path) -> None:
    done = run(command, "--json", "--data", str(tmp_path / "data"), CANEMAP_LEASE_S="abc")
    found = problem(done)
    assert (found["exit_code"], "CANEMAP_LEASE_S: " in str(found["detail"])) == (3, True), done.stderr


@pytest.mark.parametrize("command", ["migrate", "up"])
def test_a_data_folder_that_cannot_be_made_is_named(command: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = problem(run(command, "--json", "--data", str(tmp_path / "file" / "data")))
    assert (found["type"], found["exit_code"], "--data" in str(found["detail"])) == ("data-folder", 3, True)


@pytest.mark.parametrize("command", ["worker", "beat"])
def test_a_folder_without_data_is_refused_and_not_made(command: str, tmp_path: Path) -> None:
    found = problem(run(command, "--json", "--data", str(tmp_path / "typo")))
    assert (found["type"], str(tmp_path / "typo") in str(found["detail"])) == ("no-data-folder", True)
    assert not (tmp_path / "typo").exists()


def test_a_database_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "canemap.db").write_text("notes, and no database at all" * 100)
    found = problem(run("migrate", "--json", "--data", str(tmp_path)))
    assert (found["type"], found["exit_code"]) == ("database", 3)
    away = "postgresql+psycopg://nobody@127.0.0.1:9/canemap"
    found = problem(run("migrate", "--json", "--data", str(tmp_path), CANEMAP_DATABASE_URL=away))
    assert (found["type"], "CANEMAP_DATABASE_URL" in str(found["detail"])) == ("database", True)


def test_a_misspelt_setting_is_named_with_the_nearest_one() -> None:
    done = run("check-table", "0.8942", "0.7462", "0.7780", CANEMAP_LEASE="3", canemap_sweeps="1", CANEMAP_SWEEP_S="2")
    assert done.stderr.splitlines() == [
        "CANEMAP_LEASE is no setting of canemap and has no effect; did you mean CANEMAP_LEASE_S?",
        "canemap_sweeps is no setting of canemap and has no effect; did you mean CANEMAP_SWEEP_S?",
    ]


def test_every_command_takes_the_common_options() -> None:
    import typer

    from app.cli import app
    from app.cli.common import with_common_options

    def commands(command: object, name: str) -> dict[str, set[str]]:
        below = getattr(command, "commands", None)
        if below is None:
            return {name: {option for parameter in getattr(command, "params") for option in parameter.opts}}  # noqa: B009
        return {key: value for each, one in below.items() for key, value in commands(one, f"{name} {each}").items()}

    found = commands(with_common_options(typer.main.get_command(app)), "canemap")
    assert len(found) > 20
    assert {name for name, options in found.items() if not options >= {"--json", "--data", "--lang"}} == set()
