"""A training can begin with the weights of a model: with the same bytes after a stop, and with frozen levels."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from ml.config import NetConfig, TrainConfig
from ml.contract import ClassDef, Contract
from ml.data import TrainingData
from ml.faults import InputRefused
from ml.nn.checkpoint import load_checkpoint, load_tensors
from ml.nn.training.execution import choose_execution
from ml.nn.training.ranks import Ranks
from ml.nn.training.state import TrainingState
from ml.nn.training.train import train
from ml.progress import Stopped
from ml.warm_start import warm_start_faults, with_net_of
from tests.ml.nn.conftest import easy_world
from tests.ml.nn.training.test_train import changed, stop_at, three_classes

WARM = {"init": "cane:1", "epochs": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    return easy_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def origin(data: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that was trained for two epochs."""
    return train(changed(epochs=2), data, tmp_path_factory.mktemp("origin")).model


def test_a_training_begins_with_the_weights_of_the_model(data: TrainingData, origin: Path) -> None:
    config = changed(**WARM)
    state = TrainingState(config, data, choose_execution(config), load_checkpoint(origin))
    assert all(torch.equal(tensor, state.net.state_dict()[name]) for name, tensor in load_tensors(origin).items())


@pytest.mark.parametrize("keep", ["last", "averaged"])
def test_frozen_levels_stay_and_a_stopped_training_resumes_to_the_same_bytes(
    data: TrainingData, origin: Path, tmp_path: Path, keep: str
) -> None:
    config = changed(**WARM, keep=keep, frozen_levels=2, optimizer={"name": "adamw", "lr": 0.01})
    undisturbed = train(config, data, tmp_path / "undisturbed", init=origin)
    with pytest.raises(Stopped):
        train(config, data, tmp_path / "stopped", stop_at(6), init=origin)  # type: ignore[arg-type]
    resumed = train(config, data, tmp_path / "stopped", init=origin)
    assert resumed.model.read_bytes() == undisturbed.model.read_bytes()
    before, after = load_tensors(origin), load_tensors(resumed.model)
    frozen = {name for name in before if name.startswith(("stem.", "down.0."))}
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    weights = {name for name in before.keys() - frozen if name.endswith("weight")}
    assert not any(torch.equal(before[name], after[name]) for name in weights)
    assert resumed.header.config.init == "cane:1"
    assert resumed.series[0]["lr"] == pytest.approx(0.1 * 0.01 * (1 - 3 / 8) ** 0.9), "a tenth, after three of 8 steps"


def test_with_other_classes_only_the_last_layer_begins_anew(data: TrainingData, origin: Path, tmp_path: Path) -> None:
    other, config = three_classes(tmp_path), changed(init="cane:1", epochs=1)
    state = TrainingState(config.for_classes(3), other, choose_execution(config), load_checkpoint(origin))
    tensors = load_tensors(origin)
    same = [name for name, tensor in state.net.state_dict().items() if torch.equal(tensor, tensors[name])]
    assert set(tensors) - set(same) == {"head.weight", "head.bias"}
    report = train(config, other, tmp_path / "out", init=origin).header.report
    assert report is not None
    assert "The classes are not those of cane:1: the last layer begins anew." in report.warnings


def test_a_model_that_does_not_fit_is_refused_with_all_that_differs(data: TrainingData, origin: Path) -> None:
    header = load_checkpoint(origin).header
    config = changed(**WARM, net={"depth": 1, "width": 4}, frozen_levels=5)
    three = Contract(bands=("b", "g", "r"), dtype="uint8", gsd=10, nodata=None, statistics=())
    faults = [*warm_start_faults(config, three, header.config.net, header.contract)]
    assert [(fault.code, fault.pointer) for fault in faults] == [
        ("wrong_bands", "/config/init"),
        ("other_net", "/config/net"),
        ("too_many_levels", "/config/frozen_levels"),
    ]
    assert "3 bands (b, g, r)" in faults[0].detail and "2 bands (1, 2)" in faults[0].detail


def test_a_training_without_the_file_of_its_model_is_refused(data: TrainingData, tmp_path: Path) -> None:
    with pytest.raises(InputRefused) as refused:
        train(changed(**WARM), data, tmp_path)
    assert refused.value.faults[0].code == "no_init"


def test_a_config_without_a_net_takes_that_of_the_model() -> None:
    net = NetConfig(depth=2, width=8)
    assert with_net_of(TrainConfig(init="cane:1"), net).net == net
    assert with_net_of(TrainConfig(init="cane:1", net=NetConfig(depth=3)), net).net.depth == 3


def test_levels_cannot_be_frozen_without_a_model() -> None:
    with pytest.raises(ValidationError, match="give init"):
        TrainConfig(frozen_levels=1)


def test_frozen_levels_use_no_statistics_of_other_ranks(data: TrainingData, origin: Path) -> None:
    config = changed(**WARM, frozen_levels=1)
    state = TrainingState(config, data, choose_execution(config), load_checkpoint(origin))
    shared = Ranks(0, 2).synchronised(state.net)
    kinds = {name: type(layer) for name, layer in shared.named_modules() if isinstance(layer, torch.nn.BatchNorm2d)}
    frozen = {name for name, kind in kinds.items() if kind is torch.nn.BatchNorm2d}
    assert frozen == {"stem.1", "stem.4"}
    assert not any(shared.get_submodule(name).training for name in frozen)


def test_a_class_of_another_name_is_another_class(data: TrainingData, origin: Path, tmp_path: Path) -> None:
    classes = (ClassDef(value=0, name="other"), ClassDef(value=1, name="rice"))
    rice = data.model_copy(update={"contract": data.contract.model_copy(update={"classes": classes})})
    report = train(changed(init="cane:1", epochs=1), rice, tmp_path, init=origin).header.report
    assert report is not None and any("begins anew" in warning for warning in report.warnings)
