"""A model as ONNX computes what the net computes in PyTorch, from the numbers of a file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from ml.checkpoint_header import CheckpointHeader, read_header
from ml.config import NetConfig, TrainConfig
from ml.contract import BandRadiometry, BandStatistics, ClassDef, Contract, Homogenise, Scaling
from ml.evaluation.calibration import Calibrated, Calibration, reliability
from ml.evaluation.report import BalanceReport, TrainReport
from ml.faults import InputRefused
from ml.nn.checkpoint import save_checkpoint
from ml.nn.normalise import normalise
from ml.nn.unet import UNet, make_net
from ml.onnx_model import write_onnx

NODATA = 7


def contract_of(bands: int, classes: int, **changes: object) -> Contract:
    statistics = [
        BandStatistics(mean=90 + 10 * band, std=40 + band, min=0, max=255, low=20, high=230) for band in range(bands)
    ]
    statistics[0] = statistics[0].model_copy(update={"low": None, "high": None, "std": 0.0 if bands > 3 else 40.0})
    values = {
        "bands": tuple(str(band + 1) for band in range(bands)),
        "dtype": "uint8",
        "gsd": 0.8,
        "nodata": NODATA,
        "statistics": tuple(statistics),
        "classes": tuple(ClassDef(value=value, name=f"作物 {value}") for value in range(classes)),
    }
    return Contract.model_validate(values | changes)


def trained(contract: Contract, depth: int, path: Path) -> UNet:
    """A net that was trained for some steps, in eval mode, and its checkpoint at `path`."""
    torch.manual_seed(depth)
    config = NetConfig(depth=depth, width=4)
    net = make_net(contract, config)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    for _ in range(4):
        image = torch.randn(2, net.bands, 16, 16)
        loss = (net(image) - image.mean(dim=1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    header = CheckpointHeader(contract=contract, config=TrainConfig(net=config, chip_size=32), best_epoch=1)
    save_checkpoint(path, net.state_dict(), header)
    return net.eval()


def exported(checkpoint: Path) -> Any:
    out = checkpoint.with_suffix(".onnx")
    write_onnx(checkpoint, out, "cane:1")
    onnx.checker.check_model(str(out), full_check=True)
    return onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])


def expected(net: UNet, raw: np.ndarray, contract: Contract) -> np.ndarray:
    """The probabilities in PyTorch of a scene (B, H, W), whose sides are completed by zeros as in prediction."""
    scaling: Sequence[Scaling] = contract.scaling or (Scaling(),) * len(raw)
    scale, offset = (np.array([[[getattr(each, name)]] for each in scaling]) for name in ("scale", "offset"))
    valid = (raw != contract.nodata).all(axis=0) & np.isfinite(raw).all(axis=0)
    image = torch.from_numpy((raw * scale + offset).astype(np.float32)).nan_to_num()[None]
    normal = normalise(image, torch.from_numpy(valid)[None], contract.statistics)
    rows, cols = raw.shape[1:]
    step = 2**net.depth
    completed = torch.nn.functional.pad(normal, (0, -cols % step, 0, -rows % step))
    with torch.inference_mode():
        logits = net(completed)[..., :rows, :cols]
    found: np.ndarray = (logits.sigmoid() if net.outputs == 1 else logits.softmax(dim=1)).numpy()
    return found


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("depth", "bands", "classes"), [(1, 1, 2), (2, 4, 2), (3, 3, 3), (4, 7, 5)])
@pytest.mark.parametrize("size", [(32, 32), (45, 67)])
def test_onnx_runtime_gives_the_probabilities_of_pytorch(
    tmp_path: Path, depth: int, bands: int, classes: int, size: tuple[int, int], dtype: type
) -> None:
    contract = contract_of(bands, classes)
    net = trained(contract, depth, tmp_path / "net.safetensors")
    raw: np.ndarray = np.random.default_rng(depth).integers(0, 256, (bands, *size)).astype(dtype)
    (found,) = exported(tmp_path / "net.safetensors").run(None, {"image": raw[None].astype(np.float32)})
    assert found.shape == (1, net.outputs, *size)
    assert np.abs(found - expected(net, raw, contract)).max() < 1e-4
    assert np.ptp(found) > 1e-3  # else any net would do


def test_scale_offset_and_values_that_are_no_numbers_stand_in_the_graph(tmp_path: Path) -> None:
    scaling = (Scaling(scale=0.5, offset=10), Scaling(scale=2, offset=-30))
    contract = contract_of(2, 2, dtype="float32", scaling=scaling)
    net = trained(contract, 2, tmp_path / "net.safetensors")
    raw = np.random.default_rng(1).uniform(0, 255, (2, 24, 24)).astype(np.float32)
    raw[0, 3, 4], raw[1, 10, 10], raw[0, 20, 5] = np.nan, np.inf, NODATA
    (found,) = exported(tmp_path / "net.safetensors").run(None, {"image": raw[None]})
    assert np.isfinite(found).all()
    assert np.abs(found - expected(net, raw, contract)).max() < 1e-4


def test_the_probabilities_of_a_calibrated_model_are_calibrated(tmp_path: Path) -> None:
    contract, path = contract_of(2, 3), tmp_path / "net.safetensors"
    net, header = trained(contract, 2, path), read_header(path)
    some = np.zeros((1, 4), np.float32), np.zeros(4, np.uint8)
    found = Calibrated(before=reliability(*some), after=reliability(*some))
    balance = BalanceReport(mode="none", before={}, after={})
    calibration = Calibration(temperature=3, val=found)
    report = TrainReport(balance=balance, dropped={}, dropped_chips=(), calibration=calibration)
    save_checkpoint(path, net.state_dict(), header.model_copy(update={"report": report}))
    raw: np.ndarray = np.random.default_rng(1).integers(0, 256, (2, 32, 32)).astype(np.uint8)
    (probability,) = exported(path).run(None, {"image": raw[None].astype(np.float32)})
    plain = expected(net, raw, contract)
    divided = plain ** (1 / 3) / (plain ** (1 / 3)).sum(axis=1, keepdims=True)
    assert np.abs(probability - divided).max() < 1e-4
    assert np.abs(divided - plain).max() > 1e-2


def test_the_file_tells_deepness_how_to_use_it(tmp_path: Path) -> None:
    contract = contract_of(4, 3)
    trained(contract, 2, tmp_path / "net.safetensors")
    session = exported(tmp_path / "net.safetensors")
    known = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
    assert known["model_type"] == "Segmentor"
    assert known["class_names"] == {"0": "作物 0", "1": "作物 1", "2": "作物 2"}
    assert (known["resolution"], known["tile_size"], known["seg_small_segment"]) == (80, 512, 0)
    assert Contract.model_validate(known["canemap_contract"]) == contract
    (image,), (result,) = session.get_inputs(), session.get_outputs()
    assert (image.shape[1], result.shape[1]) == (4, 3)
    assert image.shape[2] == image.shape[3] and result.shape[2] == result.shape[3]
    # Deepness divides by 255, and then standardises by these values: the model must get the numbers themselves
    number = np.float32(np.uint8(200) / 255)
    back = (number - known["standardization_mean"][0]) / known["standardization_std"][0]
    assert back == pytest.approx(200, abs=1e-3)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_pixel_gets_the_class_in_deepness_that_it_has_here(tmp_path: Path, classes: int) -> None:
    contract = contract_of(2, classes)
    net = trained(contract, 2, tmp_path / "net.safetensors")
    raw = np.random.default_rng(2).uniform(0, 255, (2, 64, 64)).astype(np.float32)
    session = exported(tmp_path / "net.safetensors")
    (found,) = session.run(None, {"image": raw[None]})
    threshold = json.loads(session.get_modelmeta().custom_metadata_map["seg_thresh"])
    found[found < threshold] = (
        0  # as Deepness does it, and then of one channel what is left, and of several the largest
    )
    there = (found[:, 0] != 0).astype(int) if found.shape[1] == 1 else found.argmax(axis=1)
    chances = expected(net, raw, contract)
    here = (chances[:, 0] >= 0.5).astype(int) if classes == 2 else chances.argmax(axis=1)
    assert classes == 2 or (chances.max(axis=1) < 0.5).any()
    assert (there == here).mean() > 0.999


def test_a_model_of_homogenised_scenes_is_refused_with_the_reason(tmp_path: Path) -> None:
    radiometry = BandRadiometry(median=1, mad=1, mean=1, std=1, quantiles=(0.0,) * 101)
    contract = contract_of(1, 2, homogenise=Homogenise(method="robust", reference=(radiometry,)))
    trained(contract, 1, tmp_path / "net.safetensors")
    with pytest.raises(InputRefused) as refused:
        write_onnx(tmp_path / "net.safetensors", tmp_path / "net.onnx", "cane:1")
    assert [fault.code for fault in refused.value.faults] == ["homogenised_model"]
