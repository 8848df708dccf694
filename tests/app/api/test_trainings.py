"""Trainings are accepted with the config with which they are done."""

import httpx

from tests.app.api.conftest import DATASET
from tests.app.api.conftest import prepared as settings

__all__ = ["settings"]


def test_the_config_of_a_training_has_its_preset_written_out(http: httpx.Client) -> None:
    body = {"dataset": DATASET, "config": {"preset": "robust", "optimizer": {"lr": 0.01}, "epochs": 1}}
    made = http.post("/v1/trainings", json=body)
    assert made.status_code == 201, made.text
    config = http.get(made.headers["location"]).json()["config"]
    assert (config["preset"], config["views"], config["keep"], config["epochs"]) == ("robust-1", 8, "averaged", 1)
    assert (config["optimizer"]["name"], config["optimizer"]["lr"]) == ("adamw", 0.01)
