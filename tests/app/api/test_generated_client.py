"""A client that openapi-python-client makes from /openapi.json, on the main resources: answers and refusals alike."""

import importlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.main import create_app
from app.services import Services
from app.settings import Settings
from tests import servers
from tests.app.api.conftest import Perform, pixels
from tests.ml.conftest import MakeScene

ROOT = Path(__file__).resolve().parents[3]
GENERATOR = str(Path(sys.executable).with_name("openapi-python-client"))
PACKAGE = "canemap_generated"


@pytest.fixture
def database_url(migrated_sqlite: str, tmp_path: Path) -> Iterator[str]:
    """What is asked here has nothing to do with the database."""
    with servers.copy_of(migrated_sqlite, tmp_path) as url:
        yield url


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the package."""
    folder = tmp_path_factory.mktemp("generated")
    document = create_app(Settings(data_dir=folder)).openapi()
    (folder / "openapi.json").write_text(json.dumps(document))
    options = {
        "--path": folder / "openapi.json",
        "--output-path": folder / PACKAGE,
        "--config": ROOT / "docs" / "client-generator.yaml",
        "--meta": "none",
    }
    arguments = [str(part) for option in options.items() for part in option]
    subprocess.run([GENERATOR, "generate", "--fail-on-warning", *arguments], check=True, cwd=folder)
    sys.path.insert(0, str(folder))
    yield folder / PACKAGE
    sys.path.remove(str(folder))


class Api:
    """Its functions by tag and operation id, each called with a client of one service."""

    def __init__(self, client: Any) -> None:
        self.models = importlib.import_module(f"{PACKAGE}.models")
        self.types = importlib.import_module(f"{PACKAGE}.types")
        self._client = client

    def __call__(self, tag: str, operation: str, *path: Any, **given: Any) -> tuple[int, Any]:
        """The status and what was parsed of the answer."""
        function = importlib.import_module(f"{PACKAGE}.api.{tag}.{operation}").sync_detailed
        answer = function(*path, client=self._client, **given)
        return int(answer.status_code), answer.parsed

    def file(self, path: Path) -> Any:
        """A file to send."""
        return self.types.File(payload=io.BytesIO(path.read_bytes()))


@pytest.fixture
def api(generated: Path, http: httpx.Client) -> Iterator[Api]:
    """The generated client of a service of its own."""
    with importlib.import_module(f"{PACKAGE}.client").Client(base_url=str(http.base_url)) as client:
        yield Api(client)


def test_it_uploads_lists_patches_and_deletes(api: Api, scene: Path, mask: Path) -> None:
    status, item = api("scenes", "put_scene", "s1", body=api.file(scene), sensor="GF-2", bands="b,g,r,nir")
    assert (status, type(item), item.properties.instruments) == (201, api.models.Scene, ["GF-2"])
    assert [band.name for band in item.assets["data"].bands] == ["b", "g", "r", "nir"]
    assert api("scenes", "put_scene", "s1", body=api.file(scene))[0] == 200
    status, page = api("scenes", "list_scenes", limit=1)
    assert (status, [feature.id for feature in page.features], page.next_) == (200, ["s1"], None)
    patch = api.models.ScenePatch(sensor="GF-1")
    assert api("scenes", "patch_scene", "s1", body=patch)[1].properties.instruments == ["GF-1"]
    assert len(api("scenes", "get_scene_data", "s1")[1].payload.read()) > 1000
    status, layer = api("labels", "put_labels", "truth", body=api.file(mask))
    assert (status, layer.report.kind, layer.options.background) == (201, "raster", 255)
    assert api("labels", "delete_labels", "truth")[0] == 204
    assert api("scenes", "delete_scene", "s1") == (204, None)


def test_it_trains_and_reads_what_came_of_it(api: Api, do: Perform, make_scene: MakeScene, mask: Path) -> None:
    m = api.models
    for name in ("s1", "s2"):
        api("scenes", "put_scene", name, body=api.file(make_scene(pixels(seed=ord(name[1])), f"{name}.tif")))
    api("labels", "put_labels", "truth", body=api.file(mask))
    split = m.SceneSplit(by="scene", train=["s1"], val=["s2"])
    body = m.DatasetRequest(name="gx", scenes=["s1", "s2"], labels=["truth"], split=split, leaks="allow")
    status, dataset = api("datasets", "post_dataset", body=body)
    assert (status, dataset.id, dataset.job.status, dataset.statistics) == (201, "gx:1", "accepted", None)
    do("gx:1")
    _, dataset = api("datasets", "get_dataset", "gx")
    assert dataset.statistics["train"].pixels["sugarcane"] > 0
    config = m.TrainConfig(epochs=1, chip_size=32, net=m.NetConfig(depth=1, width=4))
    status, training = api("trainings", "post_training", body=m.TrainingRequest(dataset="gx:1", config=config))
    assert (status, training.config.net.width, training.model) == (201, 4, None)
    status, job = api("jobs", "get_job", training.id)
    assert (status, job.job_id, job.process_id, job.error) == (200, training.id, "training", None)
    do(training.id)
    version = api("trainings", "get_training", training.id)[1].model
    assert (version.name, version.version) == ("gx", 1)
    assert [epoch.epoch for epoch in api("trainings", "get_series", training.id)[1].items] == [1]
    _, model = api("models", "get_version", "gx", "@champion")
    assert (model.aliases, model.contract.dtype, model.metrics.val.confusion[0][0] >= 0) == (
        ["champion"],
        "uint16",
        True,
    )
    assert api("models", "list_models")[1].items[0].aliases["champion"] == 1
    status, map_ = api("predictions", "post_prediction", body=m.PredictionRequest(scene="s2", model="gx"))
    assert (status, map_.properties.model.version, map_.job.status) == (201, 1, "accepted")
    assert api("jobs", "dismiss_job", map_.id)[1].status == "dismissed"
    assert "attempt 1" in api("jobs", "get_log", training.id)[1]


def test_refusals_are_problems_that_it_parses(api: Api, services: Services) -> None:
    m = api.models
    status, problem = api("trainings", "post_training", body=m.TrainingRequest(dataset="nothing"))
    assert (status, type(problem), problem.type_) == (422, m.ProblemDocument, "unknown-dataset")
    assert problem.errors[0].pointer == "/dataset"
    status, problem = api("scenes", "get_scene", "nothing")
    assert (status, type(problem), problem.type_) == (404, m.ProblemDocument, "not-found")
    status, problem = api("scenes", "list_scenes", bbox="1")
    assert (status, problem.type_) == (422, "invalid-bbox")
    status, problem = api("health", "readyz")
    assert (status, {fault.code for fault in problem.errors}) == (503, {"no_worker"})
