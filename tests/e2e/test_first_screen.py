"""What a person sees who starts the service: one line, or a sentence that says why it does not start."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app.cli.running import InUse, listening
from app.client import Client
from app.core.startup import PYTHON
from app.operations.log_file import keep_small, last_lines
from tests.servers import free_port
from tests.waiting import eventually

UP = (*PYTHON, "-m", "app.cli", "up", "--port", "0", "--data")
QUICK = {"OMP_NUM_THREADS": "1", "CANEMAP_SWEEP_S": "0.5"}


def test_the_first_screen_is_one_line_and_the_port_stays_ours(tmp_path: Path) -> None:
    data, pipe = tmp_path / "data", subprocess.PIPE
    first = free_port()
    variables = QUICK | {"CANEMAP_WORKER_METRICS": f"127.0.0.1:{first}"}
    with subprocess.Popen([*UP, str(data)], stdout=pipe, stderr=pipe, text=True, env=os.environ | variables) as service:
        try:
            assert service.stdout
            line = service.stdout.readline()
            url = line.split()[3]
            assert line.startswith("canemap is ready: http://127.0.0.1:")
            assert str(data) in line
            found = subprocess.run(
                ["ps", "--ppid", str(service.pid), "-o", "pid=,args="], capture_output=True, text=True
            )
            (api,) = [int(line.split()[0]) for line in found.stdout.splitlines() if " serve " in line]
            os.kill(api, signal.SIGKILL)
            with pytest.raises(InUse):
                listening("127.0.0.1", int(url.rpartition(":")[2]))
            with Client(url) as client:
                eventually(client.ready, 60)
            for port in (first, first + 1):
                assert "canemap_attempt_seconds" in httpx.get(f"http://127.0.0.1:{port}/metrics").text
        finally:
            service.send_signal(signal.SIGTERM)
            output, errors = service.communicate(timeout=60)
    assert (output, errors) == ("", "")
    log = (data / "canemap.log").read_text()
    assert "worker ready" in log
    assert "a child process ended" in log
    assert not re.search("alembic|Context impl|HTTP Request|Warm shutdown", log)


def test_a_service_that_cannot_start_ends_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "broker").touch()  # where a folder should be
    command = [*UP, str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | QUICK, timeout=200)
    assert (done.returncode, done.stdout) == (3, "")
    assert "its process 'worker" in done.stderr or "its process 'api'" in done.stderr  # both need the broker
    assert "File exists: " in done.stderr


def test_a_log_does_not_grow_without_bound(tmp_path: Path) -> None:
    log = tmp_path / "canemap.log"
    script = "import sys; [print('line', n, flush=True) or sys.stdin.readline() for n in range(2)]"
    with log.open("ab") as output:
        command, pipe = [sys.executable, "-c", script], subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=output, text=True) as writer:
            eventually(lambda: last_lines(log, 5) == ["line 0"], 30)
            keep_small(log, 100)
            assert last_lines(log, 5) == ["line 0"], "it is small"
            keep_small(log, 3)
            writer.communicate("\n\n")
    assert log.read_text() == "line 1\n"
    assert (tmp_path / "canemap.log.1").read_text() == "line 0\n"
    assert last_lines(tmp_path / "none", 5) == []
