"""Rules of the architecture that import-linter cannot check: each thing that must be audited has one place."""

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [path for package in ("app", "ml", "worker", "migrations") for path in sorted((ROOT / package).rglob("*.py"))]


@cache
def trees() -> dict[str, ast.Module]:
    """The syntax tree of each file."""
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in SOURCES}


def where(found: Callable[[ast.AST], bool]) -> set[str]:
    """The files with a node of the syntax tree for which `found` is true."""
    return {name for name, tree in trees().items() if any(found(node) for node in ast.walk(tree))}


def attribute(name: str) -> Callable[[ast.AST], bool]:
    """A function that finds the attribute `name`, which may have dots."""
    return lambda node: isinstance(node, ast.Attribute) and ast.unparse(node) == name


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_the_environment_is_read_in_few_places() -> None:
    allowed = {"ml/geo/gdal.py", "app/client.py"}
    allowed |= {"app/cli/running.py"}  # passes it on to its child processes
    allowed |= {"app/cli/language.py"}  # finds the language of the terminal
    # set the data folder, name it in an error, and name variables that are no settings
    allowed |= {"app/cli/common.py", "app/cli/failures.py", "app/cli/variables.py"}
    allowed |= {"app/settings.py"}  # finds the folder with the files of secrets
    allowed |= {"app/inspection/inspector.py"}  # passes on the few variables that are not secret
    allowed |= {"app/inspection/libraries.py"}  # lets a child read the data of GDAL and PROJ, wherever they are
    allowed |= {"ml/native/build.py"}  # finds the cache folder of the user and the C compiler
    allowed |= {"ml/nn/precision.py"}  # sets the workspace with which products on a GPU are repeatable
    allowed |= {"ml/nn/training/ranks.py"}  # reads which attempt of the launcher of torch this is
    allowed |= {"app/core/tracing.py"}  # sees whether the variables of OpenTelemetry name a collector
    allowed |= {"worker/process.py"}  # sets variables for the libraries in the processes of jobs
    allowed |= {"worker/gpu.py"}  # says which GPU the processes of jobs can see
    allowed |= {"worker/walls.py"}  # finds the files and ports that libraries take from it; sets their caches
    assert where(attribute("os.environ")) | where(attribute("os.getenv")) <= allowed


def test_only_the_database_module_commits() -> None:
    def commits(node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and node.attr == "commit"

    assert where(commits) == set()
    assert where(attribute("session.begin")) == {"app/core/db.py"}


def test_only_one_module_writes_the_status_of_a_job() -> None:
    def updates(node: ast.AST) -> bool:
        return isinstance(node, ast.Call) and ast.unparse(node.func) == "update" and ast.unparse(node.args[0]) == "Job"

    def sets_status(node: ast.AST) -> bool:
        return isinstance(node, ast.Call) and any(word.arg == "status" for word in node.keywords)

    assert where(updates) == {"app/jobs/lifecycle.py", "app/jobs/claims.py"}
    assert where(updates) & where(sets_status) == {"app/jobs/lifecycle.py"}


def test_rasters_are_opened_for_reading_in_one_place() -> None:
    def reads(node: ast.AST) -> bool:
        if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "rasterio.open"):
            return False
        mode = node.args[1] if len(node.args) > 1 else ast.Constant("r")
        return not (isinstance(mode, ast.Constant) and str(mode.value).startswith("w"))

    assert where(reads) == {"ml/geo/raster.py"}


def test_windows_are_converted_to_those_of_rasterio_in_one_place() -> None:
    assert {name for name, tree in trees().items() if "rasterio.windows" in set(imports(tree))} == {"ml/geo/windows.py"}


def test_weights_are_loaded_in_one_place_and_never_unpickled() -> None:
    loading = {"safetensors", "safetensors.torch", "safetensors.numpy"}
    assert {name for name, tree in trees().items() if loading & set(imports(tree))} == {"ml/nn/checkpoint.py"}
    assert where(attribute("torch.load")) == set()
    assert {name for name, tree in trees().items() if {"pickle", "dill", "joblib"} & set(imports(tree))} == set()


def test_only_the_http_interface_imports_fastapi() -> None:
    users = {name for name, tree in trees().items() if "fastapi" in {it.split(".")[0] for it in imports(tree)}}
    assert all(name.startswith("app/api/") or name == "app/main.py" for name in users)


def test_the_client_is_one_file_that_a_portal_can_copy() -> None:
    packages = {module.split(".")[0] for module in imports(trees()["app/client.py"])}
    assert packages - set(sys.stdlib_module_names) == {"httpx2", "httpx"}


def test_the_api_runs_where_neither_torch_nor_matplotlib_is_installed() -> None:
    assert all(importlib.util.find_spec(name) for name in ("torch", "matplotlib"))  # else the next line proves nothing
    modules = "app.jobs.sweep, app.cli, app.cli.service, app.operations.doctor, app.main"
    script = f"import sys; sys.modules['torch'] = sys.modules['matplotlib'] = None; import {modules}"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)
