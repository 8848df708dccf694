"""A disk that becomes full during work: nothing accepted is lost, and the work continues once there is room."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.client import CanemapError, Client, Prediction
from ml.synthetic import SyntheticScene, make_scene
from tests.disks import fill, on_a_small_disk
from tests.e2e.conftest import TINY, Stack, settings_of, up, upload
from tests.waiting import eventually

MEGABYTES = 100
MAP_PX = 1536  # side of the scene
# room beside the finished rows, which have 2 bytes a pixel; the files of the map need more while they are written
ROOM_BYTES = MAP_PX**2 * 6 // 5


@pytest.fixture(scope="module", params=["embedded", "postgresql+redis+s3"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service on a small disk, with all its data if it is embedded, else with the scratch files of its workers."""
    folder = tmp_path_factory.mktemp("disk")
    within = on_a_small_disk(folder / "data", MEGABYTES)
    with settings_of(request) as settings, up(folder, within=within, **settings) as stack:
        yield stack


def test_a_training_survives_a_full_disk(client: Client, stack: Stack, world: dict[str, SyntheticScene]) -> None:
    dataset = upload(client, world)
    config = TINY | {"epochs": 16}
    calm = client.train(dataset, register_as="calm", config=config).wait(timeout_s=120)
    training = client.train(dataset, register_as="storm", config=config)
    eventually(lambda: len(training.series()) >= 1)
    filler = data_of(stack) / "filler"
    fill(filler)
    with pytest.raises(CanemapError) as refused:
        client.upload_scene(world["train"].image, id="too-much")
    assert refused.value.status == 507
    time.sleep(4)  # longer than a lease, after which an attempt that cannot write has ended
    assert client.job(training.id)["status"] in ("accepted", "running"), "the job can be read all the time"
    filler.unlink()
    training.wait(timeout_s=120)
    assert client.job(training.id)["attempt"] >= 2
    assert [row["epoch"] for row in training.series()] == list(range(1, 17))
    assert training.model["file:checksum"] == calm.model["file:checksum"]
    client.upload_scene(world["train"].image, id="too-much")


def test_a_prediction_survives_a_disk_that_is_full_when_its_files_are_written(
    client: Client, stack: Stack, world: dict[str, SyntheticScene], tmp_path: Path
) -> None:
    client.upload_scene(make_scene(tmp_path, "large", seed=9, size_px=MAP_PX).image)
    client.train(upload(client, world), register_as="cane", config=TINY | {"epochs": 1}).wait(timeout_s=120)
    calm = client.predict("large", model="cane:1").wait(timeout_s=120)
    filler = data_of(stack) / "filler"
    fill(filler, leave_bytes=2 * MAP_PX**2 + ROOM_BYTES)
    storm = client.predict("large", model="cane:1")
    eventually(lambda: client.job(storm.id)["stage"] == "write" or "is full" in client.log(storm.id))
    time.sleep(4)  # longer than a lease
    assert client.job(storm.id)["status"] in ("accepted", "running")
    assert storm.refresh().document["assets"] == {}
    filler.unlink()
    storm.wait(timeout_s=120)
    assert client.job(storm.id)["attempt"] >= 2
    assert checksums(storm) == checksums(calm)


def data_of(stack: Stack) -> Path:
    """The data folder of a service on its small disk, as a path that this process can use."""
    return Path(f"/proc/{stack.process.pid}/root{stack.folder}/data")


def checksums(prediction: Prediction) -> dict[str, str]:
    """The checksums of the files of a prediction, by name."""
    return {name: asset["file:checksum"] for name, asset in prediction.refresh().document["assets"].items()}
