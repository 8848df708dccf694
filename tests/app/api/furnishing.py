"""A tenant that has one thing of each kind."""

from collections.abc import Callable
from pathlib import Path

import httpx

from tests.app.api.conftest import TINY, TRUTH, pixels, put, zones_file
from tests.ml.conftest import write_scene


def furnish(
    http: httpx.Client, work: Callable[[], None], folder: Path, title: str, *, alone: str = "theirs", seed: int = 100
) -> dict[str, str]:
    """Give a tenant things of the names that "local" uses, and of a name that it has alone, all with a title.

    http: Shows a key of the tenant with the scope admin. work: Does all jobs that wait. seed: Of the pixels.
    Returns the ids of what it has alone, by collection.
    """
    titled = {"title": title}
    for number, name in enumerate(("s1", "s2", "s3", alone)):
        scene = write_scene(folder / f"other-{name}.tif", pixels(seed=seed + number))
        assert put(http, f"/v1/scenes/{name}", scene, **titled).status_code == 201
    mask = write_scene(folder / "other-truth.tif", TRUTH, nodata=255)
    for name in ("truth", alone):
        assert put(http, f"/v1/labels/{name}", mask, **titled).status_code == 201
    zones = zones_file(folder / "other-zones.geojson")
    assert put(http, f"/v1/zones/{alone}", zones, code_field="code", **titled).status_code == 201
    split = {"by": "scene", "train": ["s1"], "val": ["s2"], "test": ["s3"]}
    body = {"scenes": ["s1", "s2", "s3"], "labels": ["truth"], "split": split, "leaks": "allow", **titled}
    for name in ("gx", alone):
        assert http.post("/v1/datasets", json=body | {"name": name}).status_code == 201
        work()
    trained = {}
    for name in ("cane", alone):
        train = {"dataset": "gx:1", "register_as": name, "config": TINY, **titled}
        trained[name] = http.post("/v1/trainings", json=train).json()["id"]
    plan = {"dataset": "gx:1", "config": TINY, "seeds": [0], "variants": [{"name": "ce", "config": {}}], **titled}
    experiment = http.post("/v1/experiments", json=plan).json()["id"]
    work()
    prediction = http.post("/v1/predictions", json={"scene": "s1", "model": f"{alone}@champion", **titled}).json()["id"]
    evaluation = http.post(f"/v1/models/{alone}/versions/1/evaluations", json={"dataset": "gx:1"}).json()["id"]
    again = {"dataset": "gx", "register_as": "cane", "config": TINY}
    work()
    sample = http.post("/v1/samples", json={"map": prediction, "design": {"n": 100}, **titled}).json()["id"]
    survey = http.post("/v1/surveys", json={"scenes": ["s1"], "model": f"{alone}:1", "overlap": "best", **titled})
    schedule = {"name": alone, "cron": "0 2 1 * *", "timezone": "Asia/Shanghai", "training": again, **titled}
    assert http.post("/v1/schedules", json=schedule).status_code == 201
    run = http.post(f"/v1/schedules/{alone}/run").json()["id"]
    work()
    assert http.put(f"/v1/samples/{sample}/answers", content="id,class\n1,0\n").status_code == 200
    upload = http.post("/v1/uploads").headers["Location"].rpartition("/")[2]
    webhook = http.post("/v1/webhooks", json={"url": f"http://127.0.0.1:9/{alone}", **titled}).json()["id"]
    delivery = http.post(f"/v1/webhooks/{webhook}/test").json()["id"]
    assert http.patch(f"/v1/webhooks/{webhook}", json={"enabled": False}).status_code == 200
    return {
        "scenes": alone,
        "labels": alone,
        "zones": alone,
        "datasets": f"{alone}:1",
        "trainings": trained[alone],
        "experiments": experiment,
        "predictions": prediction,
        "evaluations": evaluation,
        "surveys": survey.json()["id"],
        "samples": sample,
        "models": alone,
        "schedules": alone,
        "jobs": prediction,
        "uploads": upload,
        "run": run,
        "webhooks": webhook,
        "delivery": delivery,
    }
