"""A training learns, reports its progress, is reproducible, and resumes after an interruption."""

import hashlib
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine

from ml.config import AUGMENTATIONS, LossConfig, NetConfig, OptimizerConfig, PredictConfig, TrainConfig
from ml.contract import ClassDef
from ml.data import LabelledScene, TrainingData
from ml.evaluation.boundary import boundary_counts
from ml.evaluation.metrics import Metrics
from ml.faults import InputRefused
from ml.geo.raster import open_raster
from ml.nn.checkpoint import load_checkpoint, load_tensors
from ml.nn.evaluate import assess, count, evaluated_windows, score
from ml.nn.precision import Precision
from ml.nn.prediction.predict import predict
from ml.nn.prediction.row_stream import for_prediction
from ml.nn.training.execution import Execution, choose_execution
from ml.nn.training.learning_rate import learning_rate
from ml.nn.training.ranks import ALONE
from ml.nn.training.state import TrainingState
from ml.nn.training.suspect_labels import suspect_labels
from ml.nn.training.train import train
from ml.nn.unet import make_net
from ml.progress import Progress, Stopped, silent
from ml.provenance import scored_in
from tests.ml.conftest import write_scene
from tests.ml.nn.conftest import contract_of, fields, write_labelled

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


def test_a_training_learns_an_easy_world(training_data: TrainingData, tmp_path: Path) -> None:
    result = train(changed(epochs=12, augment=["flip", "noise"]), training_data, tmp_path / "out")
    val, test = result.header.val, result.header.test
    assert val is not None
    assert test is not None
    assert (val.iou or 0) > 0.6
    assert (test.kappa or 0) > 0.6
    assert result.series[-1]["loss"] < result.series[0]["loss"]  # type: ignore[operator]
    assert result.header.report is not None
    assert result.header.report.suspects == 0
    check_review(result.model, tmp_path)


def check_review(model: Path, folder: Path) -> None:
    """Assert that the net, which has learnt the easy world, finds the block whose labels are inverted."""
    image, mask = fields(9, 128, 192)
    mask[64:128, 128:192] = 1 - mask[64:128, 128:192]
    net, header = load_checkpoint(model)
    scene = write_labelled(folder, "wrong", image, mask)
    (suspect,) = suspect_labels(for_prediction(net), header.contract, [scene], check_stop=lambda: None)
    assert (suspect.scene, suspect.row, suspect.col, suspect.pixels) == ("wrong", 64, 128, 64 * 64)
    assert suspect.contradicted > 0.5


def test_the_checkpoint_is_of_the_best_epoch_and_its_metrics_can_be_reproduced(
    training_data: TrainingData, tmp_path: Path
) -> None:
    result = train(CONFIG, training_data, tmp_path / "out")
    ious = [row["val_iou"] for row in result.series]
    assert None not in ious
    net, header = load_checkpoint(result.model)
    again, parts, made_by = score(result.model, training_data.test, training_data.references)
    assert header == result.header
    assert header.best_epoch == 1 + int(np.argmax(np.array(ious)))
    assert (header.test, header.details["test"]) == (again, parts)
    assert header.versions == made_by | {"ranks": "1"}
    counts = count(net, header.contract, training_data.test, check_stop=lambda: None)
    assert np.array_equal(counts, again.confusion)
    assert np.array_equal(np.sum(header.details["test"].confusions, axis=0), again.confusion)
    assert header.config == CONFIG.for_classes(2)
    assert header.contract == training_data.contract


def test_the_last_weights_are_kept_if_the_config_says_so(training_data: TrainingData, tmp_path: Path) -> None:
    result = train(changed(keep="last"), training_data, tmp_path / "out")
    state, kept = (load_tensors(tmp_path / "out" / f"{name}.safetensors") for name in ("resume", "model"))
    assert result.header.best_epoch == 4
    assert all(torch.equal(tensor, state[f"net.{name}"]) for name, tensor in kept.items())


def test_averaged_weights_are_kept_with_a_batch_norm_of_their_own(training_data: TrainingData, tmp_path: Path) -> None:
    config = changed(keep="averaged")
    result = train(config, training_data, tmp_path / "out")
    state, kept = (load_tensors(tmp_path / "out" / f"{name}.safetensors") for name in ("resume", "model"))
    assert (result.header.best_epoch, result.header.config.keep) == (4, "averaged")
    names = [name for name, _ in make_net(training_data.contract, config.net).named_parameters()]
    for index, name in enumerate(names):
        assert torch.equal(kept[name], state[f"average.{index}"])
        assert not torch.equal(kept[name], state[f"net.{name}"])
    measured = [name for name in kept if name.endswith(("running_mean", "running_var"))]
    assert not any(torch.equal(kept[name], state[f"net.{name}"]) for name in measured)
    again, _, _ = score(result.model, training_data.test, training_data.references)
    assert result.header.test == again


def test_the_average_forgets_early_weights_and_keeps_a_share_of_later_ones(training_data: TrainingData) -> None:
    state = TrainingState(changed(keep="averaged", average_decay=0.4), training_data, choose_execution(CONFIG))
    weight, expected = next(state.net.parameters()), 0.0
    for step, decay in enumerate((1 / 10, 2 / 11, 3 / 12, 4 / 13, 5 / 14, 0.4, 0.4, 0.4)):
        with torch.no_grad():
            weight.fill_(step)
        state.add_to_average(step)
        expected = decay * expected + (1 - decay) * step if step else float(state.average[0].flatten()[0])
    assert state.average[0].flatten()[0] == pytest.approx(expected)
    state.load_average()
    assert torch.equal(weight, state.average[0])


def test_nodata_and_unlabelled_pixels_are_never_counted(training_data: TrainingData, tmp_path: Path) -> None:
    result = train(changed(epochs=1), training_data, tmp_path / "out")
    (scene,) = training_data.val
    with open_raster(scene.path) as image, open_raster(scene.mask) as mask:
        counted = (image.read() != 0).any(axis=0) & (mask.read(1) != 255)
    val = result.header.val
    assert val is not None
    assert np.sum(val.confusion) == counted.sum()


def test_every_step_and_every_epoch_is_reported(training_data: TrainingData, tmp_path: Path) -> None:
    reported: list[Progress] = []
    result = train(changed(max_steps=6), training_data, tmp_path / "out", reported.append)
    steps = [progress.done for progress in reported if progress.stage == "train"]
    rows = [progress.values for progress in reported if progress.values]
    assert sorted(steps) == steps
    assert set(steps) == {1, 2, 3, 4, 5, 6}
    assert {progress.total for progress in reported if progress.stage == "train"} == {6}
    assert rows == list(result.series)
    assert [row["epoch"] for row in rows] == [1, 2]
    notes = [progress.note for progress in reported if progress.note]
    stages = ("draw", "wait", "prepare", "forward", "loss", "backward", "optimiser", "validation", "copy", "other")
    assert [re.findall(r"([a-z]+) [\d.]+%", note) for note in notes] == [list(stages)] * 2
    assert set(rows[0]) == {
        *("epoch", "loss", "loss_ce", "loss_lovasz_hinge", "lr"),
        *("val_accuracy", "val_iou", "val_kappa", "seconds"),
    }
    assert rows[0]["loss"] == pytest.approx(rows[0]["loss_ce"] + 0.5 * rows[0]["loss_lovasz_hinge"])  # type: ignore[operator]


def test_a_loss_term_with_weight_0_is_none_in_the_series(training_data: TrainingData, tmp_path: Path) -> None:
    (row,) = train(changed(epochs=1, loss=LossConfig(ce=1)), training_data, tmp_path / "out").series
    assert row["loss"] == row["loss_ce"]
    assert row["loss_lovasz_hinge"] is None


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": OptimizerConfig(name="adamw", lr=1e-3)},
        {"accumulate": 2, "batch_size": 2},
        {"keep": "averaged", "augment": ["radiometry"], "optimizer": {"lr": 0.05, "warmup": 0.3}},
    ],
    ids=["sgd", "adamw", "accumulate", "averaged"],
)
def test_a_stopped_training_resumes_to_the_same_bytes(
    training_data: TrainingData, tmp_path: Path, changes: dict[str, object]
) -> None:
    config = changed(**changes)
    undisturbed = train(config, training_data, tmp_path / "undisturbed")
    for step in (3, 10, 13):  # in the middle of epochs 1, 3 and 4
        with pytest.raises(Stopped):
            train(config, training_data, tmp_path / "stopped", stop_at(step))  # type: ignore[arg-type]
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]
    reported: list[Progress] = []
    resumed = train(config, training_data, tmp_path / "stopped", reported.append)
    steps = [progress.done for progress in reported if progress.stage == "train" and not progress.values]
    assert min(steps) >= 12, "three epochs of four steps are not repeated"
    assert resumed.model.read_bytes() == undisturbed.model.read_bytes()
    assert [progress.values for progress in reported if progress.values] == list(resumed.series), (
        "those before the resume too"
    )
    assert resumed.header == undisturbed.header
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
    assert load_checkpoint(train(config, training_data, tmp_path / "out").model).header.config == config.for_classes(2)
    assert (tmp_path / "out" / "model.safetensors").read_bytes() != first


def test_a_training_with_a_damaged_resume_file_starts_again(training_data: TrainingData, tmp_path: Path) -> None:
    result = train(changed(epochs=1), training_data, tmp_path / "out")
    expected = result.model.read_bytes()
    resume = tmp_path / "out" / "resume.safetensors"
    resume.write_bytes(resume.read_bytes()[:-100])
    reported: list[Progress] = []
    assert train(changed(epochs=1), training_data, tmp_path / "out", reported.append).model.read_bytes() == expected
    notes = [progress.note for progress in reported]
    assert "begins with the first epoch: the file of the finished epochs cannot be read" in notes


class NewerConfig(TrainConfig):
    """A config of a later version, which has a field more."""

    clip_gradients: bool = False


def test_a_new_field_with_its_default_does_not_restart_a_running_training(
    training_data: TrainingData, tmp_path: Path
) -> None:
    config, file = changed(epochs=2).for_classes(2), tmp_path / "resume.safetensors"
    with pytest.raises(Stopped):
        train(config, training_data, tmp_path, stop_at(5))  # type: ignore[arg-type]
    assert len(state_after(file, config, training_data).series) == 1
    assert len(state_after(file, NewerConfig(**config.model_dump()), training_data).series) == 1
    other = state_after(file, NewerConfig(**config.model_dump(), clip_gradients=True), training_data)
    assert (other.series, other.not_resumed) == ([], "the finished epochs are of another config or of other data")


def test_a_training_that_goes_on_in_another_precision_says_so(training_data: TrainingData, tmp_path: Path) -> None:
    config, file = changed(epochs=2).for_classes(2), tmp_path / "resume.safetensors"
    with pytest.raises(Stopped):
        train(config, training_data, tmp_path, stop_at(5))  # type: ignore[arg-type]
    assert state_after(file, config, training_data).moved == ""
    elsewhere = Execution(torch.device("cpu"), Precision("bfloat16"))  # what "auto" may be on another machine
    moved = TrainingState(config, training_data, elsewhere).resume(file).moved
    assert moved.startswith("the finished epochs were computed on cpu in float32, the next ones are on cpu in bfloat16")


def test_a_training_is_scored_in_float32_whatever_it_is_trained_in(training_data: TrainingData, tmp_path: Path) -> None:
    result = train(changed(epochs=1, max_steps=1, precision="bfloat16"), training_data, tmp_path)
    made_by = result.header.versions
    assert [made_by[name] for name in ("precision", "score_precision", "score_device")] == [
        "bfloat16",
        "float32",
        "cpu",
    ]
    assert scored_in(made_by) == ("float32", "cpu")


def test_a_training_goes_on_that_an_older_version_began(training_data: TrainingData, tmp_path: Path) -> None:
    config, file = changed(epochs=2).for_classes(2), tmp_path / "resume.safetensors"
    with pytest.raises(Stopped):
        train(config, training_data, tmp_path, stop_at(5))  # type: ignore[arg-type]
    older = state_after(file, config, training_data)
    older._job = older_fingerprint(config, training_data)
    older.save(file)
    assert len(state_after(file, config, training_data).series) == 1


def older_fingerprint(config: TrainConfig, data: TrainingData) -> str:
    """The fingerprint of the version that had no default fields left out, and these fields alone."""
    net = '{"depth":2,"width":4}'
    loss = '{"ce":1.0,"lovasz_hinge":0.5,"lovasz_softmax":0.0,"per_image":false}'
    optimizer = '{"name":"sgd","lr":0.05,"momentum":0.9,"weight_decay":0.0001,"schedule":"poly"}'
    augment = '["crop","flip","rotate","translate","scale","affine","noise"]'
    plain = (
        f'{{"net":{net},"loss":{loss},"epochs":2,"batch_size":4,"accumulate":1,"chip_size":32,"steps_per_epoch":4,'
        f'"max_steps":null,"optimizer":{optimizer},"balance":"oversample","hard_negatives":[],"augment":{augment},'
        '"min_valid":0.05,"review_labels":true,"boundary_m":null,"seed":0,"device":"cpu","precision":"auto",'
        '"channels_last":null,"compile":false}'
    )
    names = [",".join(scene.name for scene in split) for split in (data.train, data.val, data.test)]
    return hashlib.sha256("\n".join([plain, data.contract.model_dump_json(), data.sha256, *names]).encode()).hexdigest()


def state_after(file: Path, config: TrainConfig, data: TrainingData) -> TrainingState:
    return TrainingState(config, data, choose_execution(config, ALONE)).resume(file)


def test_only_the_model_and_the_resume_file_are_left(training_data: TrainingData, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(CONFIG, training_data, tmp_path / "out", stop_at(6))  # type: ignore[arg-type]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"resume.safetensors"}
    train(changed(epochs=1), training_data, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"resume.safetensors", "model.safetensors"}


def test_a_training_does_not_change_the_settings_of_torch(training_data: TrainingData, tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    train(changed(epochs=1), training_data, tmp_path / "out")
    assert torch.equal(torch.rand(1), expected)
    assert not torch.are_deterministic_algorithms_enabled()


def scene_of(folder: Path, name: str, *values: int) -> LabelledScene:
    """Write a scene whose mask has exactly these values."""
    mask = np.resize(np.array(values, dtype=np.uint8), (32, 32))
    return write_labelled(folder, name, np.ones((2, 32, 32), dtype=np.uint8), mask)


@pytest.mark.parametrize(
    ("train_values", "val_values", "codes"),
    [
        ((1, 255), (0, 1), ["one_class"]),
        ((255,), (255,), ["empty_split", "empty_split"]),
        ((0, 1), (0, 1, 3), ["unknown_class"]),
    ],
)
def test_data_from_which_nothing_can_be_learnt_are_refused_with_all_reasons(
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


def test_batches_of_one_chip_with_a_bottleneck_of_1_px_are_refused(training_data: TrainingData, tmp_path: Path) -> None:
    config = changed(net=NetConfig(depth=5, width=1), batch_size=1, chip_size=32)
    with pytest.raises(InputRefused, match="BatchNorm"):
        train(config, training_data, tmp_path / "out")


def test_learning_rate_schedules_begin_at_lr_and_end_near_0_unless_constant() -> None:
    for schedule, end in (("poly", 0.0), ("cosine", 0.0), ("constant", 0.2)):
        config = OptimizerConfig.model_validate({"lr": 0.2, "schedule": schedule})
        assert learning_rate(config, 0, 10**9) == 0.2
        assert learning_rate(config, 10**9 - 1, 10**9) == pytest.approx(end, abs=1e-6)
    assert learning_rate(OptimizerConfig(lr=1, schedule="poly"), 1, 2) == pytest.approx(0.5**0.9)


def test_a_warm_up_rises_in_equal_steps_and_the_whole_schedule_follows() -> None:
    config = OptimizerConfig(lr=1, schedule="cosine", warmup=0.25)
    rates = [learning_rate(config, step, 16) for step in range(16)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    plain = OptimizerConfig(lr=1, schedule="cosine")
    assert rates[4:] == [learning_rate(plain, step, 12) for step in range(12)]


def test_the_report_counts_the_drawn_pixels_and_the_details_add_up(training_data: TrainingData, tmp_path: Path) -> None:
    header = train(changed(epochs=1, steps_per_epoch=None), training_data, tmp_path / "out").header
    assert header.report is not None
    balance = header.report.balance
    assert balance.before["sugarcane"] < balance.before["other"]
    assert balance.after["sugarcane"] == pytest.approx(balance.after["other"], rel=0.5), "oversampled"
    assert header.val is not None
    assert header.val.boundary_iou is not None
    assert header.details["val"].boundary_m == 20, "two pixels"
    assert header.details["test"].scenes.keys() == {"scene3"}
    assert header.details["val"].scenes["scene2"].confusion == header.val.confusion
    assert header.versions.keys() >= {"canemap", "code", "torch", "numpy", "python"}
    assert header.versions.keys() >= {"engine", "precision", "device", "threads", "ranks", "cpu", "instructions"}


def three_classes(folder: Path) -> TrainingData:
    """Make three scenes with the classes 3, 7 and 9, which are dark, bright in band 1 and bright in band 2."""
    classes = tuple(ClassDef(value=value, name=name) for value, name in ((3, "bare"), (7, "maize"), (9, "sugarcane")))
    scenes = []
    for seed in range(3):
        image, first = fields(seed, 64, 64)
        _, second = fields(seed + 50, 64, 64)
        mask = np.where(first == 1, 9, np.where(second == 1, 7, 3)).astype(np.uint8)
        image[0] = np.where(mask == 7, image[0] + 30, image[0])
        mask[:4] = 255
        scenes.append(write_labelled(folder, f"scene{seed}", image, mask))
    contract = contract_of(fields(0, 64, 64)[0]).model_copy(update={"classes": classes})
    return TrainingData(train=(scenes[0],), val=(scenes[1],), test=(scenes[2],), contract=contract)


def test_many_classes_are_learnt_and_mapped_by_their_values(tmp_path: Path) -> None:
    data = three_classes(tmp_path)
    config = changed(epochs=20, augment=["flip"])
    result = train(config, data, tmp_path / "out")
    assert result.header.config.loss == LossConfig(ce=1, lovasz_softmax=0.5), "the paper's loss for many classes"
    assert result.header.test is not None
    assert len(result.header.test.by_class) == 3
    assert (result.header.test.kappa or 0) > 0.6
    assert result.series[-1]["loss_lovasz_softmax"] < result.series[0]["loss_lovasz_softmax"]  # type: ignore[operator]
    made = predict(result.model, data.test[0], tmp_path / "map", PredictConfig())
    with open_raster(made.files["classes.tif"]) as mapped, open_raster(data.test[0].mask) as truth:
        values, expected = mapped.read(1), truth.read(1)
        assert mapped.tags()["CLASS_9"] == "sugarcane"
    assert set(np.unique(values)) <= {3, 7, 9}
    assert (values == expected)[expected != 255].mean() == pytest.approx(result.header.test.accuracy)
    assert made.area_ha.keys() == {3, 7, 9}
    assert sum(made.area_ha.values()) == pytest.approx(64 * 64 * 0.01, rel=0.01)
    check_review_of_three(result.model, tmp_path)
    with pytest.raises(InputRefused) as refused:
        predict(result.model, data.test[0], tmp_path / "map", PredictConfig(threshold=0.7))
    assert [(fault.code, fault.pointer) for fault in refused.value.faults] == [("binary_only", "/config/threshold")]


def check_review_of_three(model: Path, folder: Path) -> None:
    """Assert that the net, which has learnt three classes, finds the block whose bare land is labelled as cane."""
    image, mask = fields(9, 128, 192)
    image[1, mask == 1] -= 25  # all of it is bare land
    labels = np.full(mask.shape, 3, dtype=np.uint8)
    labels[64:128, 128:192] = 9
    net, header = load_checkpoint(model)
    scene = write_labelled(folder, "wrong", image, labels)
    (suspect,) = suspect_labels(for_prediction(net), header.contract, [scene], check_stop=lambda: None)
    assert (suspect.row, suspect.col, suspect.pixels) == (64, 128, 64 * 64)
    assert suspect.contradicted > 0.5


@pytest.mark.parametrize("count", [3, 10, 40])
def test_a_net_that_is_sure_of_nothing_contradicts_no_label_of_many_classes(tmp_path: Path, count: int) -> None:
    rng = np.random.default_rng(count)
    image = rng.normal(100, 10, (2, 128, 128)).round().astype(np.uint8)
    scene = write_labelled(tmp_path, "noise", image, rng.integers(count, size=(128, 128)).astype(np.uint8))
    classes = tuple(ClassDef(value=value, name=f"crop {value}") for value in range(count))
    contract = contract_of(image).model_copy(update={"classes": classes})
    torch.manual_seed(0)
    net = make_net(contract, NetConfig(depth=1, width=4))
    assert not suspect_labels(for_prediction(net), contract, [scene], check_stop=lambda: None)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"loss": {"ce": 1, "lovasz_hinge": 0.5}}, "wrong_loss"),
        ({"balance": "oversample_exact", "steps_per_epoch": None}, "binary_only"),
        ({"hard_negatives": ["cassava"]}, "unknown_reference"),
    ],
)
def test_a_config_that_does_not_fit_the_data_is_refused(tmp_path: Path, changes: dict[str, object], code: str) -> None:
    with pytest.raises(InputRefused) as refused:
        train(changed(**changes), three_classes(tmp_path), tmp_path / "out")
    assert [fault.code for fault in refused.value.faults] == [code]


def test_hard_negatives_are_found_by_names_that_look_alike() -> None:
    config = changed(hard_negatives=["Cafe\u0301", " rice"])
    assert not list(config.data_faults(2, ("caf\u00e9", "Rice")))
    (fault,) = config.data_faults(2, ("caf\u00e9", "wheat"))
    assert (fault.code, fault.detail) == ("unknown_reference", "The labels name no pixel  rice.")


def test_a_training_in_the_exact_mode_shows_each_negative_pixel_once(
    training_data: TrainingData, tmp_path: Path
) -> None:
    config = changed(balance="oversample_exact", steps_per_epoch=None, epochs=2)
    header = train(config, training_data, tmp_path / "out").header
    assert header.report is not None
    assert header.report.balance.after["other"] == header.report.balance.before["other"]


def test_the_report_warns_of_unwise_settings(training_data: TrainingData, tmp_path: Path) -> None:
    header = train(changed(epochs=1, augment=["colour_jitter"], boundary_m=9), training_data, tmp_path / "out").header
    assert header.report is not None
    assert "colour_jitter" in header.report.warnings[0]
    assert "boundary_m 9 is below a pixel of 10 m" in header.report.warnings[1]
    assert header.val is not None
    assert header.val.boundary_iou is None


def test_a_val_split_without_the_class_is_warned_of_and_keeps_the_cleanest_epoch(
    training_data: TrainingData, tmp_path: Path
) -> None:
    image, _ = fields(7, 64, 64)
    empty = write_labelled(tmp_path, "empty", image, np.zeros((64, 64), dtype=np.uint8))
    data = training_data.model_copy(update={"val": (empty,)})
    result = train(changed(epochs=6), data, tmp_path / "out")
    right = [row["val_accuracy"] for row in result.series]
    assert result.header.best_epoch == 1 + int(np.argmax(np.array(right)))
    assert [row["val_iou"] for row in result.series] == [None if accuracy == 1 else 0 for accuracy in right]
    assert result.header.report is not None
    (warning,) = (text for text in result.header.report.warnings if "validation" in text)
    assert warning.startswith("The validation split has no pixel of sugarcane. Its IoU is undefined there")


def test_a_later_epoch_with_false_positives_does_not_replace_a_clean_one(
    training_data: TrainingData, tmp_path: Path
) -> None:
    config = CONFIG.for_classes(2)
    state = TrainingState(config, training_data, choose_execution(config))
    kept = list[int]()
    for errors in (50, 3, 0, 1, 0):
        val = Metrics.from_confusion(np.array([[100 - errors, errors], [0, 0]]))
        state.finish_epoch({"epoch": len(kept) + 1}, val)
        kept.append(state.best_epoch)
    assert kept == [1, 2, 3, 3, 3]
    state.save(tmp_path / "resume.safetensors")
    resumed = TrainingState(config, training_data, choose_execution(config)).resume(tmp_path / "resume.safetensors")
    resumed.finish_epoch({"epoch": 6}, Metrics.from_confusion(np.array([[99, 1], [0, 0]])))
    assert resumed.best_epoch == 3


def test_a_rare_bright_crop_that_fills_its_chips_is_learnt_with_a_warning(tmp_path: Path) -> None:
    scenes = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        image, mask = rng.normal(80, 8, (2, 128, 128)), np.zeros((128, 128), dtype=np.uint8)
        image[:, 32:64, 32:64] = rng.normal(200, 8, (2, 32, 32))  # 6 %, far more than three deviations above the mean
        mask[32:64, 32:64] = 1
        scenes.append(write_labelled(tmp_path, f"bright{seed}", image.round().clip(1, 254).astype(np.uint8), mask))
        contract = contract_of(image.round().astype(np.uint8))
    data = TrainingData(train=(scenes[0],), val=(scenes[1],), contract=contract)
    header = train(changed(chip_size=16, epochs=6, augment=["flip"]), data, tmp_path / "out").header
    assert header.report is not None
    assert header.report.dropped == {}
    assert [text for text in header.report.warnings if "cloud" in text] == [
        "100 % of the pixels of sugarcane that are trained on (1,024) are in chips that look like cloud: "
        "check that they show sugarcane."
    ]
    assert header.val is not None
    assert (header.val.iou or 0) > 0.8


def test_the_boundary_iou_measures_metres_on_the_ground(tmp_path: Path) -> None:
    image, truth = fields(3, 64, 64)
    degrees = Affine(0.0001, 0, 105, 0, -0.0001, 60)  # pixels 11.1 m high and 5.6 m wide
    paths = [tmp_path / name for name in ("image.tif", "mask.tif")]
    for path, pixels in zip(paths, (image, truth[None]), strict=True):
        write_scene(path, pixels, crs="EPSG:4326", transform=degrees)
    scene = LabelledScene(name="north", path=paths[0], mask=paths[1])
    contract = contract_of(image).model_copy(update={"gsd": 7.9})
    torch.manual_seed(0)
    plain = make_net(contract, NetConfig(depth=1, width=4))
    (piece,) = evaluated_windows(for_prediction(plain), contract, scene, check_stop=lambda: None)
    with torch.no_grad():
        assert plain.head.bias is not None
        plain.head.bias -= piece.logits.median()  # so that half of the pixels are mapped as class 1
    net = for_prediction(plain)
    (piece,) = evaluated_windows(net, contract, scene, check_stop=lambda: None)
    ious = []
    for boundary_m, sides in ((12.0, (11.14, 5.58)), (None, (7.9, 7.9))):
        metrics, details = assess(net, contract, (), [scene], boundary_m=boundary_m, report_done=lambda done: None)
        reach = boundary_m or 15.8
        common, either = boundary_counts(piece.truth, piece.predicted, sides, reach, 1)
        assert metrics.boundary_iou == common / either
        assert details.boundary_m == reach
        ious.append(metrics.boundary_iou)
    assert ious[0] != ious[1]
