"""The script compiles libraries for families of CPUs."""

import os
import platform
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from ml.native import build

ROOT = Path(__file__).resolve().parents[3]
needs_compiler = pytest.mark.skipif(
    not (sys.platform == "linux" and shutil.which("cc")), reason="this machine has no C compiler for Linux"
)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A copy of the script in a folder with a source file that compiles quickly."""
    (tmp_path / "native.c").write_text("int lanes(void) { return LANES; }")
    return Path(shutil.copy(build.__file__, tmp_path))


def made_by(script: Path, compiler: str = "cc") -> tuple[dict[str, int], str]:
    """Run the script; return the time at which each library was written, by its name, and the script's output."""
    environment = os.environ | {"CC": compiler}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=True)
    libraries = script.with_name("prebuilt").iterdir()
    return {library.name: library.stat().st_mtime_ns for library in libraries}, done.stdout


def of_this_machine(libraries: dict[str, int]) -> set[str]:
    families = {target.family for target in build.TARGETS if target.machine == platform.machine()}
    return {name for name in libraries if any(f"-{family}-" in name for family in families)}


@needs_compiler
def test_every_target_with_a_compiler_gets_a_library_and_the_others_are_named(script: Path) -> None:
    libraries, output = made_by(script)
    assert len(libraries) + output.count("left out") == len(build.TARGETS)
    here = [target for target in build.TARGETS if target.machine == platform.machine()]
    assert len(of_this_machine(libraries)) == len(here)


@needs_compiler
def test_existing_libraries_are_kept_and_those_of_older_code_are_removed(script: Path) -> None:
    before, _ = made_by(script)
    assert made_by(script)[0] == before
    script.with_name("native.c").write_text("int lanes(void) { return 0 + LANES; }")
    after, _ = made_by(script)
    assert (len(after), after.keys() & before.keys()) == (len(before), set())


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false"])
def test_without_a_working_compiler_there_is_no_library_and_no_error(script: Path, compiler: str) -> None:
    libraries, output = made_by(script, compiler)
    assert of_this_machine(libraries) == set()
    assert all(target.path.name.rsplit("-", 1)[0] in output for target in build.TARGETS if target.compiler == ["cc"])
    assert f"'{compiler}'" in output


def test_wheels_include_the_libraries() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["artifacts"]
    for target in build.TARGETS:
        assert any(fnmatch(target.path.relative_to(ROOT).as_posix(), pattern) for pattern in patterns)
