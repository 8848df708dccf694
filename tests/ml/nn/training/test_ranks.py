"""Several ranks train the same net as one process, restart after a death, and end together."""

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
from tests.ml.nn.training.ranked import Order, carried_out, outcomes, started, task
from tests.ml.nn.training.test_train import changed, three_classes
from tests.waiting import eventually

# Two processes add numbers in another order than one process, and the difference grows with each step. Measured on
# CPUs: tensors differ by 6e-8 after one step and by up to 3e-6 after 16 steps; losses differ by up to 2e-7 relatively.
LOSS_RELATIVE, WEIGHT_ABSOLUTE = 1e-5, 5e-5

SHORT: dict[str, object] = {"epochs": 2}
SAME: dict[str, TrainConfig] = {
    "one step": changed(epochs=1, steps_per_epoch=1),
    "the paper's": changed(**SHORT),
    "accumulated, adamw": changed(**SHORT, accumulate=2, optimizer={"name": "adamw", "lr": 1e-3}),
    "loss per image": changed(**SHORT, loss={"ce": 1, "lovasz_hinge": 0.5, "per_image": True}),
    "exact balance": changed(epochs=1, balance="oversample_exact", steps_per_epoch=None),
    "three classes": changed(**SHORT),
    "averaged": changed(epochs=1, keep="averaged", augment=["radiometry"]),
}
THREE_EPOCHS = changed(epochs=3)


class Done(NamedTuple):
    """The orders that two ranks have trained, by name, and the folder of their files."""

    orders: dict[str, Order]
    folder: Path


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("ranks")
    binary, classes = easy_world(folder), three_classes_in(folder / "classes")
    # in the second epoch of the first order: ranks that start again begin at the first order, and may do so only once
    orders = {"killed": Order(config=THREE_EPOCHS, data=binary, out=folder / "killed", die=6)}
    orders["undisturbed"] = Order(config=THREE_EPOCHS, data=binary, out=folder / "undisturbed")
    orders |= {
        name: Order(config=config, data=classes if name == "three classes" else binary, out=folder / name)
        for name, config in SAME.items()
    }
    orders["bfloat16"] = Order(config=changed(epochs=1, precision="bfloat16"), data=binary, out=folder / "bfloat16")
    orders["stopped"] = Order(config=THREE_EPOCHS, data=binary, out=folder / "stopped", stop=6)
    orders["uneven"] = Order(config=changed(batch_size=3), data=binary, out=folder / "uneven")
    carried_out(folder, list(orders.values()), "--max-restarts=1")
    return Done(orders, folder)


def three_classes_in(folder: Path) -> TrainingData:
    folder.mkdir()
    return three_classes(folder)


def alone(order: Order, out: Path) -> TrainResult:
    out.mkdir(exist_ok=True)
    return train(order.config, order.data, out)


def apart(one: Path, other: Path) -> float:
    """Return the largest difference of any tensor of the nets of two trainings after their last epoch.

    Running statistics are included.
    """
    files = [{path.name: load_tensors(path) for path in folder.glob("*.safetensors")} for folder in (one, other)]
    first, second = ({(file, name): each[name] for file, each in of.items() for name in each} for of in files)
    assert first.keys() == second.keys()
    nets = [key for key in first if key[0] == "model.safetensors" or key[1].startswith(("net.", "average."))]
    return max(float((first[key] - second[key]).abs().max()) for key in nets)


@pytest.mark.parametrize("name", SAME)
def test_two_processes_train_the_same_net_as_one(done: Done, tmp_path: Path, name: str) -> None:
    order = done.orders[name]
    ours, theirs = outcomes(order)
    expected = alone(order, tmp_path / "alone")
    assert ours == theirs, "both ranks have the same result"
    assert ours.losses == pytest.approx([row["loss"] for row in expected.series], rel=LOSS_RELATIVE)
    assert ours.ious == pytest.approx([row["val_iou"] for row in expected.series], abs=0.005), "all scenes were counted"
    assert apart(order.out, tmp_path / "alone") < (1e-6 if name == "one step" else WEIGHT_ABSOLUTE)


def test_two_processes_in_bfloat16_train_nearly_the_same_net_as_one(done: Done, tmp_path: Path) -> None:
    order = done.orders["bfloat16"]
    expected = alone(order, tmp_path / "alone")
    assert outcomes(order)[0].losses == pytest.approx([row["loss"] for row in expected.series], rel=0.01)
    assert apart(order.out, tmp_path / "alone") < 0.05


def test_stopping_one_rank_stops_all_and_one_process_can_resume(done: Done, tmp_path: Path) -> None:
    order = done.orders["stopped"]
    assert [outcome.ended for outcome in outcomes(order)] == ["stopped"] * 2
    left = {path.name for path in order.out.iterdir()}
    assert left == {"resume.safetensors", "rank0.json", "rank1.json"}
    resumed, expected = alone(order, order.out), alone(order, tmp_path / "alone")
    assert [row["loss"] for row in resumed.series] == pytest.approx(
        [row["loss"] for row in expected.series], rel=LOSS_RELATIVE
    )
    assert apart(order.out, tmp_path / "alone") < WEIGHT_ABSOLUTE


def test_an_invalid_config_is_refused_on_every_rank(done: Done) -> None:
    assert [outcome.ended for outcome in outcomes(done.orders["uneven"])] == ["uneven_batch"] * 2


def test_all_ranks_restart_after_one_is_killed_and_the_result_is_the_same(done: Done) -> None:
    undisturbed, killed = (done.orders[name] for name in ("undisturbed", "killed"))
    assert (killed.out / "died").exists()
    assert [outcome.begun for outcome in outcomes(killed)] == [4, 4], "the first epoch is not repeated"
    first, second = ([outcome.losses for outcome in outcomes(order)] for order in (undisturbed, killed))
    assert first == second
    expected, model = ((order.out / "model.safetensors").read_bytes() for order in (undisturbed, killed))
    assert model == expected
    assert not (killed.out / "scratch").exists()


def test_all_ranks_stop_when_their_launcher_dies(tmp_path: Path) -> None:
    order = Order(config=changed(epochs=10_000), data=easy_world(tmp_path), out=tmp_path / "out")
    with started(*task(tmp_path, [order])) as launcher:
        try:
            eventually((order.out / "resume.safetensors").exists, seconds=120)
        finally:
            launcher.kill()
        for rank in range(2):
            eventually((order.out / f"rank{rank}.json").exists, seconds=120)
    assert [outcome.ended for outcome in outcomes(order)] == ["stopped"] * 2
    assert not (order.out / "scratch").exists()


@given(st.integers(0, 40), st.integers(1, 9))
def test_the_shares_of_all_ranks_cover_all_items_in_order_and_are_nearly_equal(length: int, count: int) -> None:
    items = list(range(length))
    shares = [items[Ranks(rank, count).share(length)] for rank in range(count)]
    assert [item for share in shares for item in share] == items
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_single_process_changes_nothing() -> None:
    net, batch = torch.nn.Conv2d(1, 1, 1), torch.ones(4, 1)
    with joined() as ranks:
        assert ranks == ALONE
    assert ALONE.whole(batch) is batch
    assert ALONE.synchronised(net) is net
    assert ALONE.together(lambda: 3) == [3]
    assert list(ALONE.faults(changed(batch_size=3), torch.device("cpu"))) == []


def test_the_synchronised_net_shares_its_tensors_and_has_other_batch_norms() -> None:
    net = UNet(bands=2, depth=1, width=2)
    copied = Ranks(0, 2).synchronised(net)
    ours, theirs = ({**dict(it.named_parameters()), **dict(it.named_buffers())} for it in (net, copied))
    assert ours.keys() == theirs.keys()
    assert all(ours[name] is theirs[name] for name in ours)
    kinds = [[type(it).__name__ for it in each.modules() if "BatchNorm" in type(it).__name__] for each in (net, copied)]
    assert kinds == [["BatchNorm2d"] * 6, ["_WholeBatchNorm"] * 6]
    assert copied.training


def test_ranks_refuse_a_config_that_they_cannot_train() -> None:
    with pytest.raises(InputRefused) as refused:
        choose_execution(changed(batch_size=5, compile=True), Ranks(0, 2))
    assert [fault.code for fault in refused.value.faults] == ["uneven_batch", "not_compiled"]
    assert "cannot be divided equally among 2 processes" in str(refused.value)
    codes = [fault.code for fault in Ranks(0, 999).faults(changed(batch_size=999), torch.device("cuda"))]
    assert codes == ["too_few_gpus"]


def test_a_refusal_reaches_another_process_unchanged() -> None:
    refusal = InputRefused(Fault("a", "One.", "Do."), Fault("b", "Two.", "Do."))
    for again in (pickle.loads(pickle.dumps(refusal)), copy.copy(refusal)):
        assert again.faults == refusal.faults
        assert str(again) == "One.; Two."
