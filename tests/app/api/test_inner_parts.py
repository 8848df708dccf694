"""Parts of uvicorn, starlette and fastapi that are not public and that we use: each is named here, and is there.

Their minor releases are pinned in pyproject.toml. Whoever raises one reads the release's changes of what is named here.
"""

import inspect
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from fastapi import routing
from packaging.requirements import Requirement
from starlette import responses
from uvicorn.protocols.http import httptools_impl

PROJECT = Path(__file__).resolve().parents[3] / "pyproject.toml"
PROTOCOL: Any = httptools_impl.HttpToolsProtocol
CALLS = {
    PROTOCOL.connection_made: ["self", "transport"],
    PROTOCOL.connection_lost: ["self", "exc"],
    PROTOCOL.resume_writing: ["self"],
    PROTOCOL.data_received: ["self", "data"],
    PROTOCOL.on_message_begin: ["self"],
    PROTOCOL.on_headers_complete: ["self"],
    PROTOCOL.on_body: ["self", "body"],
    PROTOCOL.on_message_complete: ["self"],
    PROTOCOL.send_400_response: ["self", "msg"],
    PROTOCOL._start_asgi_task: ["self", "cycle", "app"],
    responses.FileResponse._parse_range_header: ["http_range", "file_size"],
    routing.iter_route_contexts: ["routes"],
}
ATTRIBUTES = {PROTOCOL: ("app", "client", "connections", "loop", "transport")}


def test_no_release_of_typer_is_taken_that_nobody_has_looked_at() -> None:
    """`app/cli` uses parts of it that are not public, and another minor release has ended every command at once."""
    base = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    (pin,) = [Requirement(line).specifier for line in base if Requirement(line).name == "typer"]
    assert version("typer") in pin and "1.0" not in pin


@pytest.mark.parametrize("name", ["fastapi", "starlette", "uvicorn"])
def test_their_minor_release_is_pinned(name: str) -> None:
    extras = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]
    (pin,) = [Requirement(line).specifier for line in extras["api"] if Requirement(line).name == name]
    major, minor = map(int, version(name).split(".")[:2])
    assert version(name) in pin
    assert f"{major}.{minor}.999" in pin and f"{major}.{minor + 1}.0" not in pin and f"{major}.{minor - 1}.0" not in pin


@pytest.mark.parametrize("function", CALLS, ids=lambda function: function.__qualname__)
def test_a_method_that_we_call_or_replace_has_the_same_arguments(function: Any) -> None:
    assert list(inspect.signature(function).parameters)[: len(CALLS[function])] == CALLS[function]


def test_attributes_that_we_read_are_set() -> None:
    source = inspect.getsource(PROTOCOL.__init__)
    assert [name for name in ATTRIBUTES[PROTOCOL] if f"self.{name}" not in source] == []
    assert "self.disconnected" in inspect.getsource(httptools_impl.RequestResponseCycle.__init__)
    assert issubclass(responses.MalformedRangeHeader, Exception)
    assert issubclass(responses.RangeNotSatisfiable, Exception)
