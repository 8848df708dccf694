"""What a command that works on the database itself must not load: half of its time went there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.core.db import migrate
from app.settings import Settings

PROGRAM = """
import sys
from app.cli import main
sys.argv = ["canemap", *sys.argv[1:]]
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
parts = ("celery", "app.services", "app.mapping", "app.learning", "app.api.documents.whole", "fastapi")
print(*(part for part in parts if part in sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize("command", [("keys", "list"), ("tenants", "list"), ("audit", "--limit", "1")])
def test_a_command_about_keys_loads_no_more_than_it_needs(tmp_path: Path, command: tuple[str, ...]) -> None:
    migrate(Settings(data_dir=tmp_path))
    environment = os.environ | {"CANEMAP_DATA_DIR": str(tmp_path), "LANG": "C.UTF-8"}
    arguments = [sys.executable, "-c", PROGRAM, *command, "--json"]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr.split()) == (0, []), done.stderr
