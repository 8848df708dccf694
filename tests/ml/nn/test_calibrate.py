"""A training is calibrated on val; maps keep their classes, and their probabilities are those of divided logits."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from ml.checkpoint_header import CheckpointHeader, read_header
from ml.config import LossConfig, NetConfig, OptimizerConfig, PredictConfig, TrainConfig
from ml.data import SceneFile, TrainingData
from ml.evaluation.calibration import Calibration
from ml.geo.windows import Window
from ml.nn.calibrate import LogitSample
from ml.nn.checkpoint import load_checkpoint, save_checkpoint
from ml.nn.evaluate import EvaluatedWindow
from ml.nn.prediction.predict import predict
from ml.nn.training.train import train
from ml.nn.unet import class_index, probability_byte, uncertainty_byte

CONFIG = TrainConfig(
    net=NetConfig(depth=2, width=4),
    loss=LossConfig(lovasz_hinge=1),
    epochs=4,
    batch_size=4,
    chip_size=32,
    steps_per_epoch=8,
    optimizer=OptimizerConfig(lr=0.05),
    device="cpu",
    review_labels=False,
)


def calibration_of(header: CheckpointHeader) -> Calibration:
    assert header.report is not None
    assert header.report.calibration is not None
    return header.report.calibration


def with_temperature(model: Path, out: Path, temperature: float | None) -> Path:
    """A copy of a checkpoint with another temperature, or with none."""
    net, header = load_checkpoint(model)
    found = temperature and calibration_of(header).model_copy(update={"temperature": temperature})
    assert header.report is not None
    report = header.report.model_copy(update={"calibration": found})
    save_checkpoint(out, net.state_dict(), header.model_copy(update={"report": report}))
    return out


def test_a_training_has_the_temperature_that_suits_val(training_data: TrainingData, tmp_path: Path) -> None:
    header = read_header(train(CONFIG, training_data, tmp_path / "out").model)
    found = calibration_of(header)
    assert header.val is not None
    assert header.test is not None
    for split, metrics in ((found.val, header.val), (found.test, header.test)):
        assert split is not None
        assert sum(split.before.pixels) == sum(split.after.pixels) == np.sum(metrics.confusion)
        right = sum((each or 0) * count for each, count in zip(split.after.accuracy, split.after.pixels, strict=True))
        assert right / np.sum(metrics.confusion) == pytest.approx(metrics.accuracy)
    assert header.temperature == found.temperature != 1
    assert found.val.after.ece < found.val.before.ece


def test_maps_keep_their_classes_and_have_calibrated_probabilities(training_data: TrainingData, tmp_path: Path) -> None:
    model = train(CONFIG.model_copy(update={"epochs": 1}), training_data, tmp_path / "out").model
    models = {value: with_temperature(model, tmp_path / f"{value}.safetensors", value) for value in (None, 1.0, 4.0)}
    scene, maps = SceneFile(name="s", path=training_data.test[0].path, nodata=0), {}
    for value, path in models.items():
        files = predict(path, scene, tmp_path / f"map{value}", PredictConfig(device="cpu")).files
        for name in ("classes.tif", "probability.tif"):
            with rasterio.open(files[name]) as file:
                maps[value, name] = file.read(1)
    for value in (1.0, 4.0):
        assert np.array_equal(maps[value, "classes.tif"], maps[None, "classes.tif"])
    assert np.array_equal(maps[1.0, "probability.tif"], maps[None, "probability.tif"])
    valid = maps[None, "classes.tif"] != 255
    p, divided = ((maps[value, "probability.tif"][valid] + 0.5) / 250 for value in (None, 4.0))
    middle = (p > 0.05) & (p < 0.95)
    assert middle.any()
    logit = np.log(p / (1 - p))[middle]
    assert np.abs(1 / (1 + np.exp(-logit / 4)) - divided[middle]).max() < 0.03
    assert ((divided >= 0.5) == (maps[4.0, "classes.tif"][valid] == 1)).all()


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_threshold_is_one_of_the_calibrated_probability(outputs: int) -> None:
    logits = torch.randn(outputs, 1000, generator=torch.Generator().manual_seed(0)) * 8
    mapped, byte = class_index(logits, 0.8, 4.0), probability_byte(logits, 4.0)
    if outputs == 1:
        assert torch.equal(mapped == 1, byte >= 200)
    assert torch.equal(class_index(logits, 0.5, 4.0), class_index(logits))


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("outputs", [1, 3, 6])
def test_uncertainty_is_the_entropy_from_0_to_1(outputs: int, temperature: float) -> None:
    logits = torch.randn(outputs, 1000, generator=torch.Generator().manual_seed(0)) * 4
    logits[:, 0], logits[:, 1] = 0, torch.linspace(-100, 100, max(outputs, 2))[-outputs:]
    scores = torch.cat([torch.zeros_like(logits), logits]) if outputs == 1 else logits
    p = (scores.double() / temperature).softmax(dim=0)
    expected = -(p * p.clamp(min=1e-300).log()).sum(dim=0) / np.log(len(scores))
    found = (uncertainty_byte(logits, temperature).double() + 0.5) / 250
    assert (found - expected).abs().max() < 0.5 / 250 + 1e-5
    assert found[:2].tolist() == [249.5 / 250, 0.5 / 250]


def test_the_pixels_of_a_large_split_do_not_depend_on_its_windows() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, (500, 400)).astype(np.uint8)
    truth[truth == 2] = 255
    logits = torch.from_numpy(rng.normal(size=(1, 500, 400)).astype(np.float32))

    def sampled(height: int) -> LogitSample:
        sample = LogitSample(50 * (4 << 20), outputs=1)
        for row in range(0, 500, height):
            rows = slice(row, row + height)
            window = Window(row, 0, len(truth[rows]), 400)
            sample(EvaluatedWindow(window, logits[:, rows], truth[rows], truth[rows]))
        return sample

    one, other = sampled(500), sampled(64)
    assert np.array_equal(one.logits(), other.logits())
    assert np.array_equal(one.truth(), other.truth())
    assert set(one.truth()) == {0, 1}
    assert one.truth().size / (truth != 255).sum() == pytest.approx(1 / 50, rel=0.1)
