"""C that is compiled where it runs, once."""

import shutil
from pathlib import Path

import pytest

from ml.nn.prediction.engines import compiler
from ml.nn.prediction.engines.machine import folder

needs_compiler = pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler here")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)
    path = tmp_path / "seven.c"
    path.write_text("int seven(void) { return 7; }")
    return path


def kept() -> list[Path]:
    return list(folder("compiled").iterdir())


@needs_compiler
def test_what_was_compiled_once_is_taken_again(source: Path) -> None:
    functions, name = compiler.load(source)
    assert functions.seven() == 7
    (library,) = kept()
    written = library.stat().st_mtime_ns
    assert compiler.load(source)[1] == name
    assert [each.stat().st_mtime_ns for each in kept()] == [written]


@needs_compiler
def test_other_code_has_another_name(source: Path) -> None:
    _, name = compiler.load(source)
    source.write_text("int seven(void) { return 3 + 4; }")
    functions, other = compiler.load(source)
    assert (functions.seven(), other != name, len(kept())) == (7, True, 2)


@needs_compiler
def test_half_a_library_is_compiled_again(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler.load(source)
    (library,) = kept()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    folder("compiled").mkdir(parents=True)
    half = folder("compiled") / library.name
    half.write_bytes(library.read_bytes()[:100])
    assert compiler.load(source)[0].seven() == 7
    assert half.stat().st_size == library.stat().st_size


@needs_compiler
def test_a_cache_that_cannot_be_written_does_no_harm(source: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("not a folder")
    assert compiler.load(source)[0].seven() == 7


def test_without_a_compiler_there_is_nothing_to_import(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler -O3")
    with pytest.raises(ImportError, match="no C compiler no-such-compiler"):
        compiler.load(source)


@needs_compiler
def test_code_that_does_not_compile_is_named(source: Path) -> None:
    source.write_text("int seven(void) { return seventeen; }")
    with pytest.raises(ImportError, match="failed"):
        compiler.load(source)
    assert kept() == []
