"""`canemap delete`, run as a person or a script runs it, against a real service."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator

import httpx
import pytest

from app.client import CanemapError, Client
from app.settings import Settings
from tests import commands
from tests.app.api.conftest import DATASET, TINY, prepared_sqlite, serving, trained_sqlite
from tests.app.api.conftest import copy_of_service as copy_of_service

__all__ = ["prepared_sqlite", "trained_sqlite"]
Canemap = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def http(trained_sqlite: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a server that has a dataset, a model and a prediction."""
    with copy_of_service(trained_sqlite, tmp_path_factory.mktemp("copy")) as settings, serving(settings) as client:
        yield client


@pytest.fixture
def canemap(http: httpx.Client) -> Canemap:
    """A function that runs a command against the service, without a terminal."""

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = os.environ | {"CANEMAP_URL": str(http.base_url), "COLUMNS": "200"}
        return commands.run(*arguments, env=environment)

    return run


def test_a_deletion_shows_what_goes_and_needs_a_yes(http: httpx.Client, canemap: Canemap) -> None:
    refused = canemap("delete", "dataset", DATASET, "--yes")
    assert refused.returncode == 3
    assert "Training 'trn_" in refused.stderr
    shown = canemap("delete", "dataset", DATASET, "--cascade", "--dry-run")
    assert shown.returncode == 0
    assert "model cane:1" in shown.stdout
    assert f"dataset {DATASET}" in shown.stdout
    asked = canemap("delete", "dataset", DATASET, "--cascade")
    assert asked.returncode == 2
    assert "model cane:1" in asked.stdout, "it is shown before anybody is asked"
    assert "--yes" in asked.stderr
    assert http.get(f"/v1/datasets/{DATASET}").status_code == 200
    done = canemap("delete", "dataset", DATASET, "--cascade", "--yes", "--json")
    assert json.loads(done.stdout)["deleted"]["counts"]["prediction"] == 1
    assert http.get(f"/v1/datasets/{DATASET}").status_code == 404


def test_a_dismissed_job_is_done_again_by_a_command(http: httpx.Client, canemap: Canemap) -> None:
    job = http.post("/v1/trainings", json={"dataset": DATASET, "config": TINY}).json()["id"]
    refused = canemap("retry", job, "--no-wait")
    assert (refused.returncode, "has not ended" in refused.stderr) == (3, True)
    http.delete(f"/v1/jobs/{job}")
    again = canemap("retry", job, "--no-wait", "--json")
    assert json.loads(again.stdout)["job"]["status"] == "accepted", again.stderr


def test_the_client_deletes_every_kind(http: httpx.Client) -> None:
    with Client(str(http.base_url)) as client:
        client.create_schedule("n", cron="0 2 1 1 *", training={"dataset": "gx"})
        client.delete("schedule", "n")
        (prediction,) = client.predictions()
        client.delete("prediction", prediction["id"])
        (training,) = client.trainings()
        with pytest.raises(CanemapError, match="cane:1"):
            client.delete("training", training["id"])
        assert client.would_delete("model", "cane:1", cascade=True)["counts"] == {"version": 1, "alias": 1}
        client.delete("model", "cane")
        client.delete("training", training["id"])
        client.delete("dataset", DATASET)
        client.delete("labels", "truth")
        client.delete("scene", "s1")
        assert not [*client.models(), *client.datasets(), *client.labels(), *client.jobs()]
