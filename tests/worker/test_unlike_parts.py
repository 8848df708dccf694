"""Parts of a map that unlike machines have computed are computed again, and never joined in silence."""

import math
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, cast

import pytest

from app.jobs.claims import Claim
from app.tables import Part
from ml.config import PredictConfig
from ml.data import SceneFile
from ml.nn.prediction.predict import finish, predict, predict_rows
from tests.ml.nn.prediction.test_predict import COLS, ROWS, model, scene
from worker.context import JobContext
from worker.kinds.prediction import _alike, _Inputs

__all__ = ["model", "scene"]
CONFIG = PredictConfig(device="cpu", outputs=("classes",))
GPU = "NVIDIA A100-SXM4-80GB"


@pytest.mark.parametrize("unlike", [{"device": GPU, "precision": "bfloat16"}, {"net_code": "older"}, {}], ids=str)
def test_a_part_of_an_unlike_machine_is_computed_again_by_the_worker_that_joins_the_map(
    model: Path, scene: SceneFile, tmp_path: Path, unlike: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.context.LOG_S", math.inf)
    supervisor, own_end = Pipe()
    context = JobContext(cast(Any, None), Claim("prd_1", "prediction", 1), own_end)  # it writes its log only later
    mapped = [predict_rows(model, scene, tmp_path, CONFIG, rows) for rows in (range(100), range(100, ROWS))]
    stored = {f"rows-{number}": each.path for number, each in enumerate(mapped)}
    finished = [
        Part(id=f"prt_{number}", first_row=first, end_row=end, object=f"rows-{number}", software=each.software | more)
        for number, (first, end, each, more) in enumerate([(0, 100, mapped[0], unlike), (100, ROWS, mapped[1], {})])
    ]
    folder = tmp_path / "joined"
    folder.mkdir()
    inputs = _Inputs(model, scene, ROWS, COLS, CONFIG)
    rows = _alike(context, inputs, folder, finished, stored.__getitem__)
    assert {each.signature for each in rows} == {mapped[0].signature}
    assert [each.path in stored.values() for each in rows] == [not unlike, True]
    lines = [text for _, text in context._lines if "computed again here" in text]
    assert len(lines) == bool(unlike)
    assert all(line.startswith(f"rows 0 to 100 were computed by {unlike.get('device', 'cpu')} in") for line in lines)
    assert supervisor.poll() or not unlike
    whole = predict(model, scene, tmp_path / "whole", CONFIG).files["classes.tif"].read_bytes()
    assert finish(rows, model, scene, folder, CONFIG).files["classes.tif"].read_bytes() == whole
