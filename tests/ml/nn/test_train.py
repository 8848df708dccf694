"""Training: that it learns, tells what it does, is the same again, and survives being stopped."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ml.config import AUGMENTATIONS, LossConfig, NetConfig, OptimizerConfig, TrainConfig
from ml.data import LabelledScene, TrainingData
from ml.faults import InputRefused
from ml.geo.raster import open_raster
from ml.nn.checkpoint import load_checkpoint
from ml.nn.evaluate import evaluate
from ml.nn.train import learning_rate, train
from ml.progress import Progress, Stopped, silent
from tests.ml.nn.conftest import write_labelled

CONFIG = TrainConfig(
    net=NetConfig(depth=2, width=4),
    epochs=4,
    batch_size=4,
    chip_size=32,
    steps_per_epoch=4,
    optimizer=OptimizerConfig(lr=0.05),
    device="cpu",
)


def changed(**changes: object) -> TrainConfig:
    return TrainConfig.model_validate(CONFIG.model_dump() | changes)


def stop_at(step: int, message: str = "") -> object:
    def watch(progress: Progress) -> None:
        if progress.stage == "train" and progress.done >= step:
            raise Stopped

    return watch


def test_it_learns_an_easy_world(training_data: TrainingData, tmp_path: Path) -> None:
    result = train(changed(epochs=12, augment=["flip", "noise"]), training_data, tmp_path / "out")
    val, test = result.metrics["val"], result.metrics["test"]
    assert val is not None
    assert test is not None
    assert (val.iou or 0) > 0.6
    assert (test.kappa or 0) > 0.6
    assert result.series[-1]["loss"] < result.series[0]["loss"]  # type: ignore[operator]


def test_the_kept_epoch_is_the_best_and_its_checkpoint_scores_what_it_says(
    training_data: TrainingData, tmp_path: Path
) -> None:
    result = train(CONFIG, training_data, tmp_path / "out")
    ious = [row["val_iou"] or -1 for row in result.series]
    net, header = load_checkpoint(result.model)
    again = evaluate(net, header.contract, training_data.test, still_alive=lambda: None)
    assert result.best_epoch == 1 + int(np.argmax(ious)) == header.best_epoch
    assert header.val == result.metrics["val"]
    assert header.test == result.metrics["test"] == again.metrics
    assert header.test_blocks == result.test_blocks == again.blocks
    assert header.config == CONFIG
    assert header.contract == training_data.contract


def test_nodata_and_unlabelled_pixels_are_never_counted(training_data: TrainingData, tmp_path: Path) -> None:
    result = train(changed(epochs=1), training_data, tmp_path / "out")
    (scene,) = training_data.val
    with open_raster(scene.path) as image, open_raster(scene.mask) as mask:
        counted = (image.read() != 0).any(axis=0) & (mask.read(1) != 255)
    val = result.metrics["val"]
    assert val is not None
    assert np.sum(val.confusion) == counted.sum()


def test_every_step_and_every_epoch_is_reported(training_data: TrainingData, tmp_path: Path) -> None:
    heard: list[Progress] = []
    result = train(changed(max_steps=6), training_data, tmp_path / "out", heard.append)
    steps = [progress.done for progress in heard if progress.stage == "train"]
    rows = [progress.values for progress in heard if progress.values]
    assert sorted(steps) == steps
    assert set(steps) == {1, 2, 3, 4, 5, 6}
    assert {progress.total for progress in heard if progress.stage == "train"} == {6}
    assert rows == list(result.series)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert set(rows[0]) == {
        *("epoch", "loss", "loss_ce", "loss_lovasz_hinge", "lr"),
        *("val_accuracy", "val_iou", "val_kappa", "seconds"),
    }
    assert rows[0]["loss"] == pytest.approx(rows[0]["loss_ce"] + 0.5 * rows[0]["loss_lovasz_hinge"])  # type: ignore[operator]


def test_a_part_of_the_loss_without_weight_is_none_in_the_series(training_data: TrainingData, tmp_path: Path) -> None:
    (row,) = train(changed(epochs=1, loss=LossConfig(ce=1)), training_data, tmp_path / "out").series
    assert row["loss"] == row["loss_ce"]
    assert row["loss_lovasz_hinge"] is None


@pytest.mark.parametrize("optimizer", [CONFIG.optimizer, OptimizerConfig(name="adamw", lr=1e-3)], ids=["sgd", "adamw"])
def test_a_stopped_training_resumes_to_the_same_bytes(
    training_data: TrainingData, tmp_path: Path, optimizer: OptimizerConfig
) -> None:
    config = changed(optimizer=optimizer)
    undisturbed = train(config, training_data, tmp_path / "undisturbed")
    for step in (3, 10, 13):  # in the middle of epochs 1, 3 and 4
        with pytest.raises(Stopped):
            train(config, training_data, tmp_path / "stopped", stop_at(step))  # type: ignore[arg-type]
    heard: list[Progress] = []
    resumed = train(config, training_data, tmp_path / "stopped", heard.append)
    steps = [progress.done for progress in heard if progress.stage == "train" and not progress.values]
    assert min(steps) == 13, "three epochs are not redone"
    assert resumed.model.read_bytes() == undisturbed.model.read_bytes()
    assert [progress.values for progress in heard if progress.values] == list(resumed.series), "also those done before"
    assert resumed.metrics == undisturbed.metrics
    assert [row["loss"] for row in resumed.series] == [row["loss"] for row in undisturbed.series]


def test_a_finished_training_called_again_gives_the_same_result(training_data: TrainingData, tmp_path: Path) -> None:
    result = train(changed(epochs=1), training_data, tmp_path / "out")
    assert train(changed(epochs=1), training_data, tmp_path / "out") == result


@pytest.mark.parametrize("changes", [{"seed": 1}, {"augment": AUGMENTATIONS[:1]}, {"balance": "none"}], ids=str)
def test_another_seed_or_config_gives_other_weights_even_in_the_same_folder(
    training_data: TrainingData, tmp_path: Path, changes: dict[str, object]
) -> None:
    first = train(changed(epochs=1), training_data, tmp_path / "out").model.read_bytes()
    config = TrainConfig.model_validate(changed(epochs=1).model_dump() | changes)
    assert load_checkpoint(train(config, training_data, tmp_path / "out").model).header.config == config
    assert (tmp_path / "out" / "model.safetensors").read_bytes() != first


def test_a_damaged_resume_file_means_a_fresh_start(training_data: TrainingData, tmp_path: Path) -> None:
    result = train(changed(epochs=1), training_data, tmp_path / "out")
    expected = result.model.read_bytes()
    resume = tmp_path / "out" / "resume.safetensors"
    resume.write_bytes(resume.read_bytes()[:-100])
    assert train(changed(epochs=1), training_data, tmp_path / "out").model.read_bytes() == expected


def test_only_model_and_resume_file_are_left(training_data: TrainingData, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(CONFIG, training_data, tmp_path / "out", stop_at(6))  # type: ignore[arg-type]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"resume.safetensors"}
    train(changed(epochs=1), training_data, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"resume.safetensors", "model.safetensors"}


def test_training_leaves_torch_as_it_was(training_data: TrainingData, tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    train(changed(epochs=1), training_data, tmp_path / "out")
    assert torch.equal(torch.rand(1), expected)
    assert not torch.are_deterministic_algorithms_enabled()


def scene_of(folder: Path, name: str, *values: int) -> LabelledScene:
    """A scene whose mask has just these values."""
    mask = np.resize(np.array(values, dtype=np.uint8), (32, 32))
    return write_labelled(folder, name, np.ones((2, 32, 32), dtype=np.uint8), mask)


@pytest.mark.parametrize(
    ("train_values", "val_values", "codes"),
    [
        ((1, 255), (0, 1), ["one_class"]),
        ((255,), (255,), ["no_labels", "no_labels"]),
        ((0, 1), (0, 1, 3), ["too_many_classes"]),
    ],
)
def test_data_that_teach_nothing_are_refused_with_every_reason(
    training_data: TrainingData, tmp_path: Path, train_values: tuple[int], val_values: tuple[int], codes: list[str]
) -> None:
    data = TrainingData(
        train=(scene_of(tmp_path, "a", *train_values),),
        val=(scene_of(tmp_path, "b", *val_values),),
        contract=training_data.contract,
    )
    with pytest.raises(InputRefused) as caught:
        train(CONFIG, data, tmp_path / "out", silent)
    assert [fault.code for fault in caught.value.faults] == codes


def test_a_training_that_diverges_says_what_to_change(training_data: TrainingData, tmp_path: Path) -> None:
    config = changed(optimizer=OptimizerConfig(lr=10, momentum=0.99, weight_decay=1), epochs=30)
    with pytest.raises(InputRefused, match="steps are too large"):
        train(config, training_data, tmp_path / "out")


def test_a_single_pixel_bottleneck_with_a_single_chip_is_refused(training_data: TrainingData, tmp_path: Path) -> None:
    config = changed(net=NetConfig(depth=5, width=1), batch_size=1, chip_size=32)
    with pytest.raises(InputRefused, match="BatchNorm"):
        train(config, training_data, tmp_path / "out")


def test_schedules_begin_at_lr_and_end_near_0_unless_constant() -> None:
    for schedule, end in (("poly", 0.0), ("cosine", 0.0), ("constant", 0.2)):
        config = OptimizerConfig.model_validate({"lr": 0.2, "schedule": schedule})
        assert learning_rate(config, 0) == 0.2
        assert learning_rate(config, 1 - 1e-9) == pytest.approx(end, abs=1e-6)
    assert learning_rate(OptimizerConfig(lr=1, schedule="poly"), 0.5) == pytest.approx(0.5**0.9)
