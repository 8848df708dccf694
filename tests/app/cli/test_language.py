"""Commands speak Chinese to those who ask for it, and to programs as before."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

NOWHERE = {"CANEMAP_URL": "http://127.0.0.1:9"}
CHINESE = {"LANG": "zh_CN.UTF-8"}
LOCALE = ("LC_", "LANG", "CANEMAP_")
ENGLISH_WORDS = re.compile(r"[A-Za-z]+ [a-z]+ [a-z]+")  # three words in a row are a piece of a sentence


def _run(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a command in a locale."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(LOCALE)}
    done = subprocess.run(
        (sys.executable, "-m", "app.cli", *arguments),
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=folder,
        env=inherited | {"PYTHONPATH": str(Path.cwd()), "PYTHONUTF8": "1"} | NOWHERE | environment,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("jobs",), "无法连接 http://127.0.0.1:9 的服务"),
        (("models", "--bogus"), "没有选项 --bogus"),
        (("jobs", "--limit", "x"), "'--limit' 的值无效：'x' 不是有效的整数。"),
        (("label", "x.gpkg", "--classes", "cane"), "sugarcane=1,*=0"),
        (("train", "gx:1", "--register-as", "cane", "--set", "epochs"), "'epochs' 不是 键=值 的形式"),
    ],
)
def test_errors_are_chinese_in_a_chinese_locale(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    (tmp_path / "x.gpkg").touch()
    code, _out, errors = _run(tmp_path, *arguments, **CHINESE)
    assert code in (2, 3)
    assert said in errors
    assert not ENGLISH_WORDS.search(errors)


def test_the_option_counts_more_than_the_locale(tmp_path: Path) -> None:
    assert "无法连接" in _run(tmp_path, "jobs", "--lang", "zh", LANG="en_US.UTF-8")[2]
    assert "cannot be reached" in _run(tmp_path, "jobs", "--lang=en", **CHINESE)[2]
    assert "无法连接" in _run(tmp_path, "jobs", CANEMAP_LANG="zh")[2]


def test_help_is_chinese(tmp_path: Path) -> None:
    code, out, _errors = _run(tmp_path, "schedule", "--help", **CHINESE)
    assert code == 0
    assert "列出所有定时任务" in out
    assert "选项" in out
    assert "List all" not in out
    assert "用法：canemap schedule [选项] 命令 [参数]..." in out


def test_no_help_is_cut(tmp_path: Path) -> None:
    code, out, _errors = _run(tmp_path, "dataset", "--help", **CHINESE)
    assert code == 0
    assert "…" not in out


def test_json_stays_english(tmp_path: Path) -> None:
    code, _out, errors = _run(tmp_path, "jobs", "--json", **CHINESE)
    assert code == 3
    assert json.loads(errors)["detail"].startswith("The service at http://127.0.0.1:9 cannot be reached")


def test_a_command_that_works_speaks_chinese(tmp_path: Path) -> None:
    code, out, _errors = _run(tmp_path, "doctor", "--only", "machine,gdal", **CHINESE)
    assert code == 0
    assert "GiB 内存" in out
    assert "只打开 GeoTIFF" in out
