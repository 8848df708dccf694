"""Several processes: they train what one would, die and come back, and end together."""

import copy
import pickle
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ml.config import TrainConfig
from ml.data import TrainingData
from ml.faults import Fault, InputRefused
from ml.nn.checkpoint import load_tensors
from ml.nn.training.execution import choose_execution
from ml.nn.training.ranks import ALONE, Ranks, joined
from ml.nn.training.train import TrainResult, train
from ml.nn.unet import UNet
from tests.ml.nn.conftest import easy_world
from tests.ml.nn.training.ranked import Order, carried_out, seen_by, started, task
from tests.ml.nn.training.test_train import changed, three_classes
from tests.waiting import eventually

# Two processes add numbers in another order than one, and each step carries what that changes on. Found on CPUs:
# tensors 6e-8 apart after one step and up to 3e-6 after 16, losses up to 2e-7 of themselves.
LOSS_RELATIVE, WEIGHT_ABSOLUTE = 1e-5, 5e-5

SHORT: dict[str, object] = {"epochs": 2}
SAME: dict[str, TrainConfig] = {
    "one step": changed(epochs=1, steps_per_epoch=1),
    "the paper's": changed(**SHORT),
    "accumulated, adamw": changed(**SHORT, accumulate=2, optimizer={"name": "adamw", "lr": 1e-3}),
    "loss per image": changed(**SHORT, loss={"ce": 1, "lovasz_hinge": 0.5, "per_image": True}),
    "exact balance": changed(epochs=1, balance="oversample_exact", steps_per_epoch=None),
    "three classes": changed(**SHORT),
}
STOPPED = changed(epochs=3)


class Done(NamedTuple):
    """What two processes made of the orders, by name."""

    orders: dict[str, Order]
    folder: Path


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("ranks")
    binary, classes = easy_world(folder), three_classes_in(folder / "classes")
    orders = {
        name: Order(config=config, data=classes if name == "three classes" else binary, out=folder / name)
        for name, config in SAME.items()
    }
    orders["bfloat16"] = Order(config=changed(epochs=1, precision="bfloat16"), data=binary, out=folder / "bfloat16")
    orders["stopped"] = Order(config=STOPPED, data=binary, out=folder / "stopped", stop=6)
    orders["uneven"] = Order(config=changed(batch_size=3), data=binary, out=folder / "uneven")
    carried_out(folder, list(orders.values()))
    return Done(orders, folder)


def three_classes_in(folder: Path) -> TrainingData:
    folder.mkdir()
    return three_classes(folder)


def alone(order: Order, out: Path) -> TrainResult:
    out.mkdir(exist_ok=True)
    return train(order.config, order.data, out)


def apart(one: Path, other: Path) -> float:
    """The largest difference of any tensor of two trainings' nets after their last epoch, running statistics too."""
    first, second = (load_tensors(folder / "resume.safetensors") for folder in (one, other))
    assert first.keys() == second.keys()
    nets = [name for name in first if name.startswith("net.")]
    return max(float((first[name] - second[name]).abs().max()) for name in nets)


@pytest.mark.parametrize("name", SAME)
def test_two_processes_train_what_one_does(done: Done, tmp_path: Path, name: str) -> None:
    order = done.orders[name]
    ours, theirs = seen_by(order)
    expected = alone(order, tmp_path / "alone")
    assert ours == theirs, "both ranks have heard the same"
    assert ours.losses == pytest.approx([row["loss"] for row in expected.series], rel=LOSS_RELATIVE)
    assert ours.ious == pytest.approx([row["val_iou"] for row in expected.series], abs=0.005), "all scenes were counted"
    assert apart(order.out, tmp_path / "alone") < (1e-6 if name == "one step" else WEIGHT_ABSOLUTE)


def test_two_processes_in_bfloat16_train_nearly_what_one_does(done: Done, tmp_path: Path) -> None:
    order = done.orders["bfloat16"]
    expected = alone(order, tmp_path / "alone")
    assert seen_by(order)[0].losses == pytest.approx([row["loss"] for row in expected.series], rel=0.01)
    assert apart(order.out, tmp_path / "alone") < 0.05


def test_who_stops_one_stops_all_and_one_process_may_go_on(done: Done, tmp_path: Path) -> None:
    order = done.orders["stopped"]
    assert [seen.ended for seen in seen_by(order)] == ["stopped"] * 2
    left = {path.name for path in order.out.iterdir()}
    assert left == {"resume.safetensors", "rank0.json", "rank1.json"}
    resumed, expected = alone(order, order.out), alone(order, tmp_path / "alone")
    assert [row["loss"] for row in resumed.series] == pytest.approx(
        [row["loss"] for row in expected.series], rel=LOSS_RELATIVE
    )
    assert apart(order.out, tmp_path / "alone") < WEIGHT_ABSOLUTE


def test_what_is_refused_is_refused_on_every_rank(done: Done) -> None:
    assert [seen.ended for seen in seen_by(done.orders["uneven"])] == ["uneven_batch"] * 2


def test_a_killed_rank_is_started_again_with_the_others_and_leaves_no_trace(tmp_path: Path) -> None:
    data, config = easy_world(tmp_path), changed(epochs=3)
    undisturbed = Order(config=config, data=data, out=tmp_path / "undisturbed")
    killed = Order(config=config, data=data, out=tmp_path / "killed", die=6)  # in the second of three epochs
    carried_out(tmp_path, [undisturbed, killed], "--max-restarts=1")
    assert (killed.out / "died").exists()
    assert [seen.begun for seen in seen_by(killed)] == [4, 4], "the first epoch is not done again"
    assert [seen.losses for seen in seen_by(killed)] == [seen.losses for seen in seen_by(undisturbed)]
    first, second = ((order.out / "model.safetensors").read_bytes() for order in (undisturbed, killed))
    assert first == second
    assert not (killed.out / "scratch").exists()


def test_without_their_launcher_all_ranks_stop(tmp_path: Path) -> None:
    order = Order(config=changed(epochs=10_000), data=easy_world(tmp_path), out=tmp_path / "out")
    with started(*task(tmp_path, [order])) as launcher:
        try:
            eventually((order.out / "resume.safetensors").exists, seconds=120)
        finally:
            launcher.kill()
        for rank in range(2):
            eventually((order.out / f"rank{rank}.json").exists, seconds=120)
    assert [seen.ended for seen in seen_by(order)] == ["stopped"] * 2
    assert not (order.out / "scratch").exists()


@given(st.integers(0, 40), st.integers(1, 9))
def test_the_parts_of_all_ranks_are_everything_in_order_and_nearly_equal(length: int, count: int) -> None:
    things = list(range(length))
    parts = [things[Ranks(rank, count).part(length)] for rank in range(count)]
    assert [thing for part in parts for thing in part] == things
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_one_process_is_left_as_it_is() -> None:
    net, batch = torch.nn.Conv2d(1, 1, 1), torch.ones(4, 1)
    with joined() as ranks:
        assert ranks == ALONE
    assert ALONE.whole(batch) is batch
    assert ALONE.in_step(net, torch.device("cpu")) is net
    assert ALONE.together(lambda: 3) == [3]
    assert list(ALONE.faults(changed(batch_size=3), torch.device("cpu"))) == []


@pytest.mark.parametrize(("device", "layer"), [("cpu", "_WholeBatchNorm"), ("cuda", "SyncBatchNorm")])
def test_the_net_in_a_step_has_the_same_tensors_and_other_batch_norms(device: str, layer: str) -> None:
    net = UNet(bands=2, depth=1, width=2)
    double = Ranks(0, 2).in_step(net, torch.device(device))  # the device is not used yet
    ours, theirs = ({**dict(it.named_parameters()), **dict(it.named_buffers())} for it in (net, double))
    assert ours.keys() == theirs.keys()
    assert all(ours[name] is theirs[name] for name in ours)
    kinds = [[type(it).__name__ for it in each.modules() if "BatchNorm" in type(it).__name__] for each in (net, double)]
    assert kinds == [["BatchNorm2d"] * 6, [layer] * 6]
    assert double.training


def test_ranks_refuse_what_they_cannot_do() -> None:
    with pytest.raises(InputRefused) as refused:
        choose_execution(changed(batch_size=5, compile=True), Ranks(0, 2))
    assert [fault.code for fault in refused.value.faults] == ["uneven_batch", "not_compiled"]
    assert "has no equal parts for 2 processes" in str(refused.value)
    codes = [fault.code for fault in Ranks(0, 999).faults(changed(batch_size=999), torch.device("cuda"))]
    assert codes == ["too_few_gpus"]


def test_a_refusal_reaches_another_process_whole() -> None:
    refusal = InputRefused(Fault("a", "One.", "Do."), Fault("b", "Two.", "Do."))
    for again in (pickle.loads(pickle.dumps(refusal)), copy.copy(refusal)):
        assert again.faults == refusal.faults
        assert str(again) == "One.; Two."
