"""The example of a receiver takes what is genuine and new, and nothing else."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from app.core.db import Database
from app.webhooks import signing
from tests.app.api.test_webhooks import create, deliveries, until_ended
from tests.app.api.test_webhooks import database as database
from tests.app.api.test_webhooks import settings as settings
from tests.app.webhooks.conftest import end_jobs
from tests.app.webhooks.receivers import wait_until

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "webhook_receiver.py"


@contextmanager
def example(secret: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The example of a receiver, and its address."""
    command = [sys.executable, str(EXAMPLE), "0"]
    environment = {"CANEMAP_WEBHOOK_SECRET": secret, "PATH": ""}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process, process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def test_the_example_receives_what_is_genuine_and_new(http: httpx.Client, database: Database) -> None:
    first = create(http)  # the receiver must know the secret before it has an address
    with example(first["secret"]) as (process, address), httpx.Client() as attacker:
        assert process.stdout
        assert http.patch(f"/v1/webhooks/{first['id']}", json={"url": address}).status_code == 200
        (job,) = end_jobs(database)
        (done,) = until_ended(http, first)
        assert done["status"] == "delivered", done
        assert process.stdout.readline().split() == ["job.successful", job, f"/v1/jobs/{job}", f"/v1/predictions/{job}"]
        http.post(f"/v1/webhooks/{first['id']}/deliveries/{done['id']}/redeliver")
        wait_until(lambda: len(deliveries(http, first)[0]["attempts"]) == 2)
        assert deliveries(http, first)[0]["status"] == "delivered"

        def send(body: str, secret: str, age_s: int, **changed: str) -> int:
            moment = int(time.time()) - age_s
            return attacker.post(
                address, content=body, headers=signing.headers([secret], "x", moment, body) | changed
            ).status_code

        assert send("{}", signing.new_secret(), 0) == 400
        assert send("{}", first["secret"], 301) == send("{}", first["secret"], -301) == 400
        assert send("{}", first["secret"], 0, **{"webhook-signature": "v1,x v2,y"}) == 400
        assert send("{}", first["secret"], 0, **{"webhook-id": "another"}) == 400
        assert send("{}", first["secret"], 0, **{"webhook-timestamp": "soon"}) == 400
        said = [process.stdout.readline() for _ in range(6)]
        assert all(line.startswith("refused: ") for line in said), "the repeated message printed nothing"
        genuine = '{"type": "webhook.test", "data": {}}'
        both = {
            "webhook-signature": " ".join(
                ["v1,old", signing.signature(first["secret"], "x", int(time.time()), genuine)]
            )
        }
        assert send(genuine, first["secret"], 0, **both) == 204
