"""The wheels: what is in them, and that the client works with nothing but httpx2 or httpx."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
USE = "from canemap_client import Client, httpx; print(httpx.__name__, Client('http://127.0.0.1:1').ready())"
WITHOUT_HTTPX2 = "import sys; sys.modules['httpx2'] = None; "


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client's wheel, built without internet."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-P", "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT / "deploy" / "client", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = folder.glob("canemap_client-*.whl")
    return found


def test_the_client_is_one_module_with_its_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        assert sorted(names) == ["canemap_client/LICENSE", "canemap_client/__init__.py", "canemap_client/py.typed"]
        assert archive.read("canemap_client/__init__.py") == (ROOT / "app" / "client.py").read_bytes()


@pytest.mark.parametrize(("before", "library"), [("", "httpx2"), (WITHOUT_HTTPX2, "httpx")])
def test_the_client_works_alone_with_either_library(wheel: Path, tmp_path: Path, before: str, library: str) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = f"{before}import sys; sys.path.insert(0, {str(tmp_path)!r}); {USE}; assert 'app' not in sys.modules"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == [library, "False"], done.stderr


def test_both_distributions_have_one_version_and_one_http_library() -> None:
    service, client = (
        tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        for folder in (ROOT, ROOT / "deploy" / "client")
    )
    assert client["version"] == service["version"]
    assert set(client["dependencies"]) <= set(service["dependencies"])


def test_the_page_of_an_index_has_no_link_that_leads_nowhere() -> None:
    assert "](" not in (ROOT / "deploy" / "canemap.md").read_text()
    assert "](" not in (ROOT / "deploy" / "client" / "README.md").read_text()


def test_every_package_says_that_it_has_types() -> None:
    assert [name for name in ("app", "ml", "worker", "migrations") if not (ROOT / name / "py.typed").exists()] == []
