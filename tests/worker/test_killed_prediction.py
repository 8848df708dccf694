"""A prediction whose process is killed in the middle: the next attempt resumes it and repeats only a few rows."""

import threading
from pathlib import Path

import httpx

from app.jobs import lifecycle
from app.services import Services
from app.tables import Job
from ml.geo.windows import ceil_to, margin
from ml.nn.prediction.stripes import ROUNDING_REACH
from tests.app.api.conftest import (
    Perform,
    do,
    http,
    make_scene,
    pixels,
    prepared_postgresql,
    prepared_sqlite,
    put,
    trained_postgresql,
    trained_sqlite,
)
from tests.app.api.conftest import trained as settings
from tests.ml.conftest import MakeScene
from tests.worker import children
from worker.supervisor import perform

__all__ = [
    "do",
    "http",
    "make_scene",
    "prepared_postgresql",
    "prepared_sqlite",
    "settings",
    "trained_postgresql",
    "trained_sqlite",
]
ROWS, COLS, DEPTH = 640, 64, 1


def test_the_next_attempt_resumes_after_the_finished_rows_and_makes_the_same_bytes(
    services: Services, http: httpx.Client, do: Perform, make_scene: MakeScene
) -> None:
    tall = pixels(seed=7, size=ROWS)[:, :, (ROWS - COLS) // 2 : (ROWS + COLS) // 2]  # both classes
    put(http, "/v1/scenes/tall", make_scene(tall, "tall.tif"))
    undisturbed, killed = (predict(http) for _ in range(2))
    do(undisturbed)

    perform(services, "prediction", threading.Event(), children.maps_and_dies)
    job = read(services, killed)
    assert (job.status, job.attempt, job.failures) == ("accepted", 1, 1)
    assert "SIGKILL" in job.message
    assert http.get(f"/v1/predictions/{killed}").json()["assets"] == {}
    finished = finished_rows(services, killed)
    assert ROWS // 2 < finished < ROWS

    perform(services, "prediction", threading.Event(), children.maps_and_logs)
    job = read(services, killed)
    assert (job.status, job.attempt, job.failures) == ("successful", 2, 1)
    (first, piece), *_ = input_pieces(services, attempt=1)
    again, _ = input_pieces(services, attempt=2)[0]
    assert first == 0 < again, "finished rows are not computed again"
    assert finished - again < piece + ceil_to(ROUNDING_REACH * margin(DEPTH), piece), (
        "apart from the rows that the remaining rows depend on"
    )
    for name in ("classes.tif", "probability.tif", "polygons.geojson", "polygons.gpkg", "web.tif"):
        resumed, whole = (http.get(f"/v1/predictions/{id_}/{name}").content for id_ in (killed, undisturbed))
        assert resumed == whole, name


def predict(http: httpx.Client) -> str:
    """Create a prediction, and return its id."""
    answer = http.post("/v1/predictions", json={"scene": "tall", "model": "cane:1"})
    assert answer.status_code == 201, answer.text
    id_: str = answer.json()["id"]
    return id_


def read(services: Services, id_: str) -> Job:
    with services.database.read() as session:
        return lifecycle.get(session, id_)


def finished_rows(services: Services, id_: str) -> int:
    """The number of finished rows that the killed process left on the disk, in a file of two layers."""
    (maps,) = (services.settings.data_dir / "scratch" / id_ / "1").glob("strips-*/maps")
    return maps.stat().st_size // (2 * COLS)


def input_pieces(services: Services, attempt: int) -> list[tuple[int, int]]:
    """The first row and the number of rows of each input of the net in an attempt."""
    lines = Path(services.settings.data_dir / f"rows-{attempt}").read_text().splitlines()
    return [(int(row), int(rows)) for row, rows in map(str.split, lines)]
