"""Work that takes long has its own threads: whoever only asks for a status never waits for it."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from app.api.http.places import PLACES, Places
from app.core.errors import Busy
from tests.app.api.conftest import put
from tests.ml.conftest import write_scene
from tests.waiting import slowdown

MANY = 45  # more than FastAPI has threads


def test_a_kind_of_work_that_has_no_place_left_sends_away_and_leaves_other_kinds_alone() -> None:
    async def crowd() -> None:
        places, end = Places(wait_s=0.1), threading.Event()
        running = [asyncio.create_task(places.run("copy", end.wait)) for _ in range(PLACES["copy"])]
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="already"):
            await places.run("copy", end.wait)
        assert await places.run("figure", str, 7) == "7"
        end.set()
        assert await asyncio.gather(*running) == [True] * PLACES["copy"]
        assert await places.run("copy", str, 8) == "8"

    asyncio.run(crowd())


def test_an_error_frees_the_place() -> None:
    async def fail_often() -> None:
        places = Places(wait_s=0.1)
        for _ in range(PLACES["copy"] + 1):
            with pytest.raises(ValueError, match="invalid literal"):
                await places.run("copy", int, "x")

    asyncio.run(fail_often())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # copies ask either database alike
def test_many_copies_at_once_leave_the_service_responsive(http: httpx.Client, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 60_000, (1, 300, 300), dtype=np.uint16)
    names = [f"s{number}" for number in range(MANY)]
    for number, name in enumerate(names):
        noise[0, 0, 0] = number  # no two scenes have the same bytes, else they would share a copy
        assert put(http, f"/v1/scenes/{name}", write_scene(tmp_path / f"{name}.tif", noise)).status_code == 201
    with ThreadPoolExecutor(MANY) as pool:
        copies = [pool.submit(http.get, f"/v1/scenes/{name}/data") for name in names]
        asked, bound = 0, slowdown()  # seconds
        while not all(copy.done() for copy in copies):
            assert http.get("/healthz", timeout=bound).status_code == 200
            assert http.get("/v1/scenes/s0", timeout=5 * bound).status_code == 200
            asked += 1
            time.sleep(0.05)
    assert asked > 1
    answers = [copy.result() for copy in copies]
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert answers[0].content[:2] == b"II"
    assert all(answer.headers["retry-after"] for answer in answers if answer.status_code == 503)
