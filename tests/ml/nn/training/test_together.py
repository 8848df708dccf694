"""A training by processes that one process forks: the weights of one process, and a death that its supervisor sees."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ml.config import TrainConfig
from ml.data import TrainingData
from ml.nn.checkpoint import load_tensors
from ml.nn.training.together import processes_for
from tests.ml.nn.training.ranked import ROOT, Order, Outcome

pytestmark = pytest.mark.timeout(1200)  # each test starts up to three programs that import torch
CONFIG = TrainConfig.model_validate(
    {
        "net": {"depth": 2, "width": 4},
        "batch_size": 4,
        "chip_size": 32,
        "epochs": 2,
        "steps_per_epoch": 4,
        "optimizer": {"lr": 0.05},
        "device": "cpu",
        "review_labels": False,
    }
)


def carried_out(folder: Path, count: int, order: Order) -> tuple[int, Outcome | None]:
    """Train in a new process, with `count` ranks; return its exit code and the outcome."""
    order.out.mkdir(exist_ok=True)
    (folder / "order.json").write_text(order.model_dump_json())
    outcome = folder / "outcome.json"
    outcome.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.ml.nn.training.forked", str(folder), str(count)]
    code = subprocess.run(command, cwd=ROOT, timeout=1000).returncode
    return code, Outcome.model_validate_json(outcome.read_text()) if outcome.exists() else None


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_tensors(out / "model.safetensors")


def test_two_processes_train_the_net_of_one_and_each_epoch_is_passed_on(
    training_data: TrainingData, tmp_path: Path
) -> None:
    one, two = (Order(config=CONFIG, data=training_data, out=tmp_path / name) for name in ("one", "two"))
    (code, alone), (other_code, together) = carried_out(tmp_path, 1, one), carried_out(tmp_path, 2, two)
    assert (code, other_code) == (0, 0)
    assert alone and together
    assert together.losses == pytest.approx(alone.losses, rel=2e-6)
    assert max(float((weights(two.out)[name] - tensor).abs().max()) for name, tensor in weights(one.out).items()) < 3e-6
    assert len((two.out / "saved").read_text().splitlines()) == 2
    assert sorted(path.name for path in two.out.iterdir()) == ["model.safetensors", "resume.safetensors", "saved"]


def test_a_killed_rank_ends_the_process_alike_and_the_next_attempt_goes_on_with_other_ranks(
    training_data: TrainingData, tmp_path: Path
) -> None:
    order = Order(config=CONFIG, data=training_data, out=tmp_path / "out", die=6)
    code, outcome = carried_out(tmp_path, 2, order)
    assert (code, outcome) == (-signal.SIGKILL, None), "the supervisor of a job sees and counts it"
    assert (order.out / "resume.safetensors").exists()
    stopped = order.model_copy(update={"die": None, "stop": 5})
    assert carried_out(tmp_path, 2, stopped) == (0, Outcome(ended="stopped"))
    code, outcome = carried_out(tmp_path, 1, order.model_copy(update={"die": None}))
    assert code == 0
    assert outcome
    assert (outcome.ended, outcome.begun) == ("trained", 4)


def test_a_refusal_of_a_rank_is_that_of_the_training(training_data: TrainingData, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"hard_negatives": ("maize",)})
    order = Order(config=config, data=training_data, out=tmp_path / "out")
    assert carried_out(tmp_path, 2, order) == (0, Outcome(ended="unknown_reference"))


def test_a_batch_is_divided_by_as_many_processes_as_divide_it_equally() -> None:
    assert [processes_for(CONFIG, given) for given in (0, 1, 2, 3, 4, 9)] == [1, 1, 2, 2, 4, 4]
    assert processes_for(CONFIG.model_copy(update={"compile": True}), 4) == 1
