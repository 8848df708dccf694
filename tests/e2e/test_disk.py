"""A disk that is full in the middle of a training: nothing accepted is lost, and all goes on once there is room."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.client import CanemapError, Client
from ml.synthetic import SyntheticScene
from tests.e2e.conftest import TINY, Stack, settings_of, up, upload
from tests.waiting import eventually

MEGABYTES = 100
# a file system of its own, seen by the service alone: as an ordinary user in a namespace one may mount a tmpfs
SMALL_DISK = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]
SCRIPT = 'mkdir -p "$0"; mount -t tmpfs -o size={}m none "$0"; exec "$@"'


@pytest.fixture(params=["embedded", "postgresql+redis+s3"])
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    """A service whose data lie on a small disk: everything, or what workers need for their work."""
    data = tmp_path / "data"
    within: list[str | Path] = [*SMALL_DISK, SCRIPT.format(MEGABYTES), data]
    if subprocess.run([*within, "true"], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    with settings_of(request) as settings, up(tmp_path, within=within, **settings) as stack:
        yield stack


def test_a_training_outlives_a_full_disk(client: Client, stack: Stack, world: dict[str, SyntheticScene]) -> None:
    dataset = upload(client, world)
    config = TINY | {"epochs": 16}
    calm = client.train(dataset, register_as="calm", config=config).wait(timeout_s=120)
    training = client.train(dataset, register_as="storm", config=config)
    eventually(lambda: len(training.series()) >= 1)
    filler = Path(f"/proc/{stack.process.pid}/root{stack.folder}/data/filler")
    fill(filler)
    with pytest.raises(CanemapError) as refused:
        client.upload_scene(world["train"].image, id="too-much")
    assert refused.value.status in (503, 507)
    time.sleep(4)  # more than a lease: whoever cannot write has given up by now
    assert client.job(training.id)["status"] in ("accepted", "running"), "it can be read all the time"
    filler.unlink()
    training.wait(timeout_s=120)
    assert client.job(training.id)["attempt"] >= 2
    assert [row["epoch"] for row in training.series()] == list(range(1, 17))
    assert training.model["file:checksum"] == calm.model["file:checksum"]
    client.upload_scene(world["train"].image, id="too-much")


def fill(path: Path) -> None:
    """Leave no room."""
    with path.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
