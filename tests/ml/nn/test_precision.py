"""The precision of a net's products, and the switches that make them repeatable, are those that were asked for."""

import os
from typing import Any, cast

import pytest
import torch

from ml.config import PredictConfig, TrainConfig
from ml.faults import InputRefused
from ml.nn.precision import FLOAT32, WORKSPACE, Precision, choose_precision, repeatable
from ml.nn.prediction.row_stream import for_prediction, for_scoring
from ml.nn.unet import UNet

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def switches() -> tuple[object, ...]:
    backends, deterministic = cast(Any, torch.backends), cast(Any, torch.utils.deterministic)
    return (
        backends.cudnn.conv.fp32_precision,
        backends.cuda.matmul.fp32_precision,
        backends.cudnn.benchmark,
        deterministic.fill_uninitialized_memory,
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


@pytest.mark.parametrize(("name", "rounding"), [("float32", "ieee"), ("tf32", "tf32"), ("bfloat16", "ieee")])
def test_float32_is_that_of_ieee_and_tf32_a_precision_of_its_own(name: Any, rounding: str) -> None:
    before = switches()
    with repeatable(Precision(name)):
        assert switches() == (rounding, rounding, False, False, True, True)
        with repeatable(FLOAT32):  # a training in TF32 is scored in float32
            assert switches()[:2] == ("ieee", "ieee")
        assert switches()[:2] == (rounding, rounding)
        assert os.environ[WORKSPACE[0]] == WORKSPACE[1]
    assert switches() == before


def test_a_caller_that_wants_errors_of_what_is_not_repeatable_gets_them() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        with repeatable(FLOAT32):
            assert not torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_tf32_is_refused_where_it_would_be_float32_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    for device, capability in ((CPU, (9, 0)), (GPU, (7, 5))):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, found=capability: found)
        with pytest.raises(InputRefused, match="A100"):
            choose_precision("tf32", device)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    assert choose_precision("tf32", GPU) == Precision("tf32")
    for config in (TrainConfig, PredictConfig):
        with pytest.raises(ValueError, match="tf32 is a precision of GPUs"):
            config(precision="tf32", device="cpu")
        assert config(precision="tf32").needs_gpu
        assert not config().needs_gpu


def test_nets_are_scored_in_float32_where_maps_are_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml.nn.prediction.row_stream.choose_precision", choose_as_a_gpu)
    net = UNet(1, 1, 4)
    assert (for_prediction(net).precision.name, for_scoring(net).precision.name) == ("bfloat16", "float32")


def choose_as_a_gpu(name: str, device: torch.device) -> Precision:
    return Precision("bfloat16") if name == "auto" else choose_precision(name, device)
