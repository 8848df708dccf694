"""Messages of the broker that would steer a worker: none can end it or keep it from its work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.core.db import migrate
from app.jobs.queue import make_celery
from app.operations.readiness import living_queues
from app.services import Services
from app.settings import Settings
from tests.waiting import eventually

HARMFUL = ["shutdown", "cancel_consumer", "pool_shrink", "pool_restart", "revoke", "terminate", "autoscale"]


def test_no_message_ends_a_worker(tmp_path: Path, redis_url: str) -> None:
    settings = Settings(data_dir=tmp_path, broker_url=redis_url)
    migrate(settings)
    variables = {"CANEMAP_DATA_DIR": str(tmp_path), "CANEMAP_BROKER_URL": redis_url}
    services, control = Services.open(settings), make_celery(settings).control
    with subprocess.Popen([sys.executable, "-m", "worker", "--queues", "light"], env=os.environ | variables) as worker:
        try:
            eventually(lambda: living_queues(services) == {"light"})
            eventually(lambda: bool(control.ping(timeout=1)))
            for command in HARMFUL:
                control.broadcast(command, arguments={"queue": "light"} if command == "cancel_consumer" else {})
            with pytest.raises(subprocess.TimeoutExpired):
                worker.wait(4)
            eventually(lambda: bool(control.ping(timeout=1)))
        finally:
            worker.terminate()
            worker.wait(30)
    services.close()
