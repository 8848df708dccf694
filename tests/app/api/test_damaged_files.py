"""Stored files that were damaged: clients learn what they belong to and how to mend it, but no key and no path."""

import httpx

from app.learning import registry
from app.services import Services
from tests.app.api.conftest import DATASET, Perform
from tests.app.api.conftest import trained as settings

__all__ = ["settings"]


def test_a_damaged_checkpoint_is_told_by_the_name_of_its_model(
    http: httpx.Client, services: Services, do: Perform
) -> None:
    with services.database.read() as session:
        key = registry.get(session, "cane", "1").object
    services.store.file(key).write_bytes(b"damaged")
    mapped = http.post("/v1/predictions", json={"scene": "s1", "model": "cane:1"}).json()["id"]
    scored = http.post("/v1/models/cane/versions/1/evaluations", json={"dataset": DATASET}).json()["id"]
    answers = [http.get("/v1/models/cane/versions/1/bundle")]
    for job in mapped, scored:
        do(job)
        assert http.get(f"/v1/jobs/{job}").json()["status"] == "failed"
        answers += [http.get(f"/v1/jobs/{job}/results"), http.get(f"/v1/jobs/{job}"), http.get(f"/v1/jobs/{job}/log")]
    secrets = [*key.rpartition("/")[::2], str(services.settings.data_dir), services.store.url]
    for answer in answers:
        assert "model 'cane:1'" in answer.text and "restore" in answer.text
        assert not [secret for secret in secrets if secret in answer.text]
    for problem in answers[0], answers[1], answers[4]:
        assert (problem.status_code, problem.json()["type"]) == (500, "damaged-object")
        assert problem.json()["errors"][0]["hint"]


def test_other_damaged_files_are_told_by_the_names_of_their_resources(http: httpx.Client, services: Services) -> None:
    keys = list(services.store.keys(""))
    for key in keys:
        services.store.delete(key)
    prediction = http.get("/v1/predictions").json()["features"][0]["id"]
    paths = {
        "/v1/scenes/s1/data": "scene 's1'",
        f"/v1/datasets/{DATASET}/figures/samples.png": f"dataset '{DATASET}'",
        f"/v1/predictions/{prediction}/classes.tif": f"prediction '{prediction}'",
    }
    for path, owner in paths.items():
        answer = http.get(path)
        assert (answer.status_code, answer.json()["type"]) == (500, "missing-object"), answer.text
        assert f"A file of {owner} " in answer.json()["detail"]
        assert not [key for key in keys if key in answer.text or key.rpartition("/")[2] in answer.text]
