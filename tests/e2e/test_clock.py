"""Clocks that jump: the time of day never decides whether a worker is alive."""

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

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="libfaketime is a library for Linux")


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    """A file with the number of seconds by which the clock of the service is wrong."""
    file = tmp_path / "clock"
    file.write_text("+0")
    return file


@pytest.fixture(params=["embedded", "postgresql+redis+s3"])
def stack(request: pytest.FixtureRequest, tmp_path: Path, clock: Path) -> Iterator[Stack]:
    """A service whose clock is wrong by the seconds in `clock`. The clocks of its servers are right."""
    spec = importlib.util.find_spec("libfaketime")  # only found and not imported, as LD_PRELOAD needs just its library
    assert spec is not None
    assert spec.origin is not None
    library = Path(spec.origin).parent / "vendor/libfaketime/src/libfaketime.so.1"
    wrong = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # with this repair of old C libraries a thread that waits for Python spins
        "CANEMAP_JOB_READS": str(clock.parent),  # otherwise the process of a job could not see its clock
    }
    with settings_of(request) as settings:
        settings.pop("CANEMAP_STORE_URL", None)  # an S3 server refuses clients whose clock is wrong by 15 minutes
        with up(tmp_path, **settings, **wrong) as stack:
            yield stack


def test_a_training_does_not_notice_that_the_clock_jumps(
    client: Client, clock: Path, world: dict[str, SyntheticScene]
) -> None:
    dataset = upload(client, world)
    training = client.train(dataset, register_as="cane", config=TINY | {"epochs": 60})
    eventually(lambda: len(training.series()) >= 1)
    for jump in ("+3600", "-3600", "+0"):
        set_clock(clock, jump)
        time.sleep(1)  # there are two sweeps and one heartbeat a second
    set_clock(clock, "-3600")
    assert client.job(training.id)["status"] == "running", "all jumps came during the work"
    training.wait(timeout_s=220)
    job = client.job(training.id)
    assert job["attempt"] == 1
    assert job["finished"] < job["created"], "the clock did jump"


def set_clock(clock: Path, jump: str) -> None:
    """Make the clock wrong by `jump` seconds. The file is replaced at once, so that nobody reads half a number."""
    unfinished = clock.with_suffix(".part")
    unfinished.write_text(jump)
    unfinished.replace(clock)
