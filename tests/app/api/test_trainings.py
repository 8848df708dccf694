"""Trainings are accepted with the config with which they are done."""

import httpx

from tests.app.api.conftest import DATASET, TINY, Perform
from tests.app.api.conftest import trained as settings

__all__ = ["settings"]


def test_the_config_of_a_training_has_its_preset_written_out(http: httpx.Client) -> None:
    body = {"dataset": DATASET, "config": {"preset": "robust", "optimizer": {"lr": 0.01}, "epochs": 1}}
    made = http.post("/v1/trainings", json=body)
    assert made.status_code == 201, made.text
    config = http.get(made.headers["location"]).json()["config"]
    assert (config["preset"], config["views"], config["keep"], config["epochs"]) == ("robust-1", 8, "averaged", 1)
    assert (config["optimizer"]["name"], config["optimizer"]["lr"]) == ("adamw", 0.01)


def test_a_training_begins_with_the_version_that_is_champion_at_that_moment(http: httpx.Client, do: Perform) -> None:
    config = {key: value for key, value in TINY.items() if key != "net"} | {"init": "cane@champion", "epochs": 1}
    body = {"dataset": DATASET, "register_as": "cane", "config": config}
    made = http.post("/v1/trainings", json=body)
    assert made.status_code == 201, made.text
    origin, stored = http.get("/v1/models/cane/versions/1").json(), made.json()["config"]
    assert (stored["init"], stored["net"]) == ("cane:1", origin["config"]["net"])
    kept = http.delete("/v1/models/cane/versions/1")
    assert kept.status_code == 409 and made.json()["id"] in kept.text
    do(made.json()["id"])
    assert http.get(made.headers["location"]).json()["job"]["status"] == "successful"
    made_version = http.get("/v1/models/cane/versions/2").json()
    assert made_version["config"]["init"] == "cane:1"
    (before,) = made_version["report"]["earlier"]
    assert (before["model"], before["dataset"], before["trained_on"]) == ("cane:1", origin["dataset"], [])
    assert (before["before"], before["after"]) == (origin["metrics"]["test"], made_version["metrics"]["test"])
    assert made.json()["id"] not in http.delete("/v1/models/cane/versions/1").text, "it has ended"


def test_a_training_cannot_begin_with_a_model_that_is_not_there_or_does_not_fit(http: httpx.Client) -> None:
    for config, code, pointer in (
        ({"init": "nothing"}, "unknown_model", "/config/init"),
        ({"init": "cane", "net": {"depth": 1, "width": 3}}, "other_net", "/config/net"),
    ):
        refused = http.post("/v1/trainings", json={"dataset": DATASET, "config": config})
        assert refused.status_code == 422, refused.text
        (fault,) = refused.json()["errors"]
        assert (fault["code"], fault["pointer"]) == (code, pointer)
