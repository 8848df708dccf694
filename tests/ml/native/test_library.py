"""The right library of `native.c` is loaded; its functions are tested with the engines."""

import os
import platform
import shutil
from pathlib import Path

import pytest
import torch

from ml.native import build, library
from ml.native.build import TARGETS, cache_folder

needs_compiler = pytest.mark.skipif(not shutil.which("cc"), reason="this machine has no C compiler")
needs_prebuilt = pytest.mark.skipif(
    library.prebuilt(TARGETS) is None, reason="no prebuilt library for this CPU: run make with a C compiler"
)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source file that compiles quickly, with an empty cache folder."""
    path = tmp_path / "native.c"
    path.write_text("int lanes(void) { return 4; }")
    for module in (build, library):
        monkeypatch.setattr(module, "SOURCE", path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)
    return path


def cached() -> list[Path]:
    return list(cache_folder().iterdir())


@needs_prebuilt
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the expected families are those of x86-64")
def test_the_chosen_family_has_the_instructions_that_pytorch_finds() -> None:
    expected = {"AVX512": "x86-64-v4", "AVX2": "x86-64-v3"}
    capability = torch.backends.cpu.get_cpu_capability()
    found = library.find()
    assert found and found.origin == f"prebuilt for {expected.get(capability, 'x86-64-v2')}"


@needs_prebuilt
def test_functions_for_shorter_vectors_come_from_other_libraries() -> None:
    found = library.prebuilt(TARGETS)
    assert found
    assert list(found.by_lanes) == sorted(found.by_lanes, reverse=True)
    assert 4 in found.by_lanes
    assert all(functions.lanes() == lanes for lanes, functions in found.by_lanes.items())


@needs_prebuilt
def test_a_damaged_library_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    intact = library.prebuilt(TARGETS)
    copy = Path(shutil.copytree(build.PREBUILT, tmp_path / "prebuilt"))
    monkeypatch.setattr(build, "PREBUILT", copy)
    targets = [build.Target(each.machine, each.family, each.lanes) for each in TARGETS]
    best = next(each for each in targets if intact and each.family in intact.origin)
    best.path.write_bytes(best.path.read_bytes()[:100])
    found = library.prebuilt(targets)
    assert best.lanes not in (found.by_lanes if found else ())


def test_no_library_of_another_architecture_is_loaded() -> None:
    others = [target for target in TARGETS if target.machine != platform.machine()]
    assert library.prebuilt(others) is None


@needs_compiler
def test_a_compiled_library_is_reused(source: Path) -> None:
    found = library.compiled()
    assert found and (found.origin, found.by_lanes[4].lanes()) == ("compiled for this CPU", 4)
    (compiled,) = cached()
    written = compiled.stat().st_mtime_ns
    again = library.compiled()
    assert again and again.checksum == found.checksum
    assert [each.stat().st_mtime_ns for each in cached()] == [written]


@needs_compiler
def test_other_code_has_another_checksum(source: Path) -> None:
    found = library.compiled()
    source.write_text("int lanes(void) { return 4; } int more(void) { return 5; }")
    other = library.compiled()
    assert found and other and (found.checksum != other.checksum, len(cached())) == (True, 2)


@needs_compiler
def test_an_incomplete_library_is_compiled_again(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library.compiled()
    (whole,) = cached()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    cache_folder().mkdir(parents=True)
    half = cache_folder() / whole.name
    half.write_bytes(whole.read_bytes()[:100])
    assert library.compiled()
    assert half.stat().st_size == whole.stat().st_size


@needs_compiler
def test_a_library_is_compiled_even_if_the_cache_is_not_writable(source: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("not a folder")
    found = library.compiled()
    assert found and found.by_lanes[4].lanes() == 4


def test_without_a_compiler_nothing_is_compiled(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler -O3")
    assert library.compiled() is None


@needs_compiler
def test_code_that_does_not_compile_leaves_nothing(source: Path) -> None:
    source.write_text("int lanes(void) { return four; }")
    assert library.compiled() is None
    assert cached() == []


@needs_compiler
@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
def test_a_library_that_others_can_write_is_not_loaded_but_compiled_again(source: Path, mode: int) -> None:
    assert library.compiled()
    (path,) = cached()
    path.chmod(mode)
    with pytest.raises(PermissionError, match="others can write it"):
        library._functions(path)
    assert library.compiled()
    assert not path.stat().st_mode & 0o022


@needs_compiler
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_library_of_another_user_is_not_loaded(source: Path) -> None:
    assert library.compiled()
    (path,) = cached()
    os.chown(path, 12345, -1)
    with pytest.raises(PermissionError, match="others can write it"):
        library._functions(path)
    assert library.compiled()
    assert path.stat().st_uid == os.geteuid()
