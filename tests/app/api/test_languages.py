"""Documents in the language that a client prefers."""

from pathlib import Path

import httpx
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.api.http import languages
from app.api.http.answers import StoredFile

CHINESE = {"accept-language": "zh-CN,zh;q=0.9"}


def is_chinese(text: str) -> bool:
    return any("\u4e00" <= letter <= "\u9fff" for letter in text)


def test_a_problem_is_told_in_chinese(http: httpx.Client) -> None:
    path = "/v1/scenes/nowhere"
    answer, english = http.get(path, headers=CHINESE), http.get(path)
    assert answer.headers["content-language"] == "zh"
    assert answer.headers["vary"] == english.headers["vary"] == "Accept-Language"
    assert answer.headers["content-type"] == english.headers["content-type"] == "application/problem+json"
    told, said = answer.json(), english.json()
    assert is_chinese(told["title"]) and is_chinese(told["detail"]) and "nowhere" in told["detail"]
    assert (told["type"], told["status"], told["instance"]) == (said["type"], said["status"], said["instance"])
    assert not is_chinese(said["detail"])
    assert "content-language" not in english.headers


def test_each_fault_of_a_body_is_told_in_chinese(http: httpx.Client) -> None:
    answer = http.post("/v1/trainings", json={"dataset": 3, "config": {"epochs": 0, "nets": 1}}, headers=CHINESE)
    assert answer.status_code == 422
    for fault in answer.json()["errors"]:
        assert is_chinese(fault["detail"]) and is_chinese(fault["hint"]), fault


def test_names_and_numbers_are_the_same_in_both_languages(http: httpx.Client) -> None:
    assert http.get("/v1/jobs", headers=CHINESE).json() == http.get("/v1/jobs").json()
    assert http.head("/v1/jobs", headers=CHINESE).headers["content-language"] == "zh"


def test_a_stored_file_has_the_same_bytes_in_both_languages(tmp_path: Path) -> None:
    stored = tmp_path / "polygons.geojson"
    stored.write_text('{"type": "FeatureCollection", "detail": "Not found", "features": []}')
    app = FastAPI()
    app.add_api_route("/polygons", lambda: StoredFile(stored, "application/geo+json", stored.name, sha256=None))
    languages.install(app)
    with TestClient(app, headers=CHINESE) as client:
        assert client.get("/polygons").content == stored.read_bytes()
        part = client.get("/polygons", headers={"range": "bytes=0-9"})
        assert (part.status_code, part.content) == (206, stored.read_bytes()[:10])
