"""What a process sets up when it starts."""

import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys, structlog
from app.core.startup import configure_logs
from app.settings import Settings
configure_logs(Settings(log_format=sys.argv[1]))
structlog.get_logger().info("request", path="/v1/scenes/\\x1b[2J\\0\\r\\x9b1m")
logging.getLogger("other").warning("line \\x1b]0;title\\x07")
structlog.get_logger().info("request", path="/v1/scenes/甘蔗")
"""


@pytest.mark.parametrize("kind", ["console", "json"])
def test_no_control_character_of_a_client_gets_into_the_log(kind: str) -> None:
    command = [sys.executable, "-c", PROGRAM, kind]
    log = subprocess.run(command, capture_output=True, check=True, encoding="utf-8").stderr
    assert len(log.splitlines()) == 3
    assert not any(character < " " or "\x7f" <= character <= "\x9f" for character in log.replace("\n", ""))
    assert "x1b[2J" in log
    assert "/v1/scenes/甘蔗" in log


@pytest.mark.parametrize("modules", ["app.cli, app.main", "app.inspection.server"])
def test_no_start_is_slowed_by_a_collection_of_all_that_was_imported(modules: str) -> None:
    program = f"import {modules}, gc; print(gc.get_stats()[2]['collections'])"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "0\n"


def test_a_command_that_uses_a_service_needs_neither_a_database_nor_a_reader_of_markdown() -> None:
    program = "import app.cli, app.settings, sys; app.settings.Settings()"
    program += "; print(*{'sqlalchemy', 'typer.rich_utils', 'numpy'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "\n"
