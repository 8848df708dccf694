"""Clocks that jump: whether a worker lives is never told by the time of day."""

import importlib.util
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.client import Client
from ml.synthetic import SyntheticScene
from tests.e2e.conftest import TINY, Stack, settings_of, up, upload
from tests.waiting import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the library is one for Linux")


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    """A file that says by how many seconds the service's clock is wrong."""
    file = tmp_path / "clock"
    file.write_text("+0")
    return file


@pytest.fixture(params=["embedded", "postgresql+redis+s3"])
def stack(request: pytest.FixtureRequest, tmp_path: Path, clock: Path) -> Iterator[Stack]:
    """A service that tells the time by that file; its servers have the true time."""
    spec = importlib.util.find_spec("libfaketime")  # found, never imported: only the library for LD_PRELOAD is wanted
    assert spec is not None
    assert spec.origin is not None
    library = Path(spec.origin).parent / "vendor/libfaketime/src/libfaketime.so.1"
    wrong = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    with settings_of(request) as settings:
        settings.pop("CANEMAP_STORE_URL", None)  # an S3 server refuses whom it finds a quarter of an hour away
        with up(tmp_path, **settings, **wrong) as stack:
            yield stack


def test_a_training_does_not_notice_that_the_clock_jumps(
    client: Client, clock: Path, world: dict[str, SyntheticScene]
) -> None:
    dataset = upload(client, world)
    training = client.train(dataset, register_as="cane", config=TINY | {"epochs": 20})
    eventually(lambda: len(training.series()) >= 1)
    for jump in ("+3600", "-3600", "+0"):
        tell(clock, jump)
        time.sleep(1)  # sweeps come twice a second, beats each
    tell(clock, "-3600")
    training.wait(timeout_s=220)
    job = client.job(training.id)
    assert job["attempt"] == 1
    assert job["finished"] < job["created"], "the clock did jump"


def tell(clock: Path, jump: str) -> None:
    """At once: nobody reads half a number."""
    part = clock.with_suffix(".part")
    part.write_text(jump)
    part.replace(clock)
