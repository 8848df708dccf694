"""A map of a scene that the model was trained on looks better than it is, and its document says so."""

import httpx
import pytest

from app.mapping import predictions
from app.requests.data import DatasetRequest
from app.settings import Settings


@pytest.fixture
def settings(trained: Settings) -> Settings:
    """A service whose model was trained on s1, validated on s2 and scored on s3, on both databases."""
    return trained


def known(http: httpx.Client, scene: str, model: str) -> list[str]:
    """What the warnings of a prediction say of the use of its scene."""
    item = http.post("/v1/predictions", json={"scene": scene, "model": model}).json()
    assert "properties" in item, item
    same = http.get(f"/v1/predictions/{item['id']}").json()
    found = item["properties"].get("warnings", [])
    assert same["properties"].get("warnings", []) == found
    return [note["detail"] for note in found if note["code"] == "known_scene"]


def test_the_map_of_a_scene_of_the_dataset_says_what_the_scene_was_used_for(http: httpx.Client) -> None:
    assert known(http, "s1", "cane:1") == ["The model was trained on this scene."]
    assert known(http, "s2", "cane:1") == ["The model was validated on this scene."]
    assert known(http, "s3", "cane:1") == ["The model was scored on this scene."]


def test_an_imported_model_has_no_dataset_here_and_says_nothing(http: httpx.Client) -> None:
    bundle = http.get("/v1/models/cane/versions/1/bundle").content
    assert http.post("/v1/models/copy/versions", content=bundle).status_code == 201
    assert known(http, "s1", "copy:1") == []


def test_blocks_of_a_scene_are_named() -> None:
    split: dict[str, object] = {"by": "block"}
    request = DatasetRequest.model_validate({"name": "gx", "scenes": ["s1"], "labels": ["plots"], "split": split})
    (note,) = predictions._familiar("s1", request)
    assert note.detail == "The model was trained and scored on blocks of this scene."
    assert predictions._familiar("s2", request) == ()
