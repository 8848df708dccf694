"""Checkpoints are written and read back unchanged, and invalid ones are refused."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ml.checkpoint_header import METADATA_KEY, CheckpointHeader, read_header
from ml.config import NetConfig, TrainConfig
from ml.contract import BandStatistics, Contract
from ml.faults import InputRefused
from ml.nn.checkpoint import load_checkpoint, load_tensors, save_checkpoint, save_tensors
from ml.nn.unet import UNet

STATISTICS = BandStatistics(mean=1, std=2, min=0, max=9)
CONTRACT = Contract(bands=("red", "nir"), dtype="uint16", gsd=0.8, nodata=0, statistics=(STATISTICS, STATISTICS))
HEADER = CheckpointHeader(
    contract=CONTRACT, config=TrainConfig(net=NetConfig(depth=2, width=4)), best_epoch=3, versions={"torch": "2"}
)


@pytest.fixture
def net() -> UNet:
    torch.manual_seed(0)
    return UNet(bands=2, depth=2, width=4)


@pytest.fixture
def path(net: UNet, tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "model.safetensors", net.state_dict(), HEADER)
    return tmp_path / "model.safetensors"


def refusal(path: Path) -> str:
    with pytest.raises(InputRefused) as caught:
        load_checkpoint(path)
    (fault,) = caught.value.faults
    assert fault.code == "bad_checkpoint"
    return fault.detail


def test_a_checkpoint_is_enough_to_rebuild_its_net(path: Path, net: UNet) -> None:
    loaded = load_checkpoint(path)
    image = torch.randn(1, 2, 8, 8)
    assert loaded.header == HEADER == read_header(path)
    assert torch.equal(loaded.net(image), net.eval()(image))
    assert [entry.name for entry in path.parent.iterdir()] == [path.name], "no partial file is left"


def test_an_older_checkpoint_with_test_blocks_in_its_header_still_loads(net: UNet, tmp_path: Path) -> None:
    older = json.dumps(HEADER.model_dump(mode="json") | {"test_blocks": [[[40, 10], [5, 45]]]})
    save_tensors(tmp_path / "old.safetensors", net.state_dict(), {METADATA_KEY: older})
    assert load_checkpoint(tmp_path / "old.safetensors").header == HEADER


def test_reading_the_header_does_not_need_torch(path: Path) -> None:
    program = (
        "import sys; sys.modules['torch'] = sys.modules['safetensors'] = None\n"
        "from pathlib import Path; from ml.checkpoint_header import read_header\n"
        "print(read_header(Path(sys.argv[1])).contract.bands)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "('red', 'nir')"


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x02}q\x00.", struct.pack("<Q", 2**60) + b"{}"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    assert "no header of canemap's" in refusal(tmp_path / "x")


@pytest.mark.parametrize(
    "document", ["[]", "{}", '{"__metadata__": null}', '{"__metadata__": {"canemap": 5}}', "[" * 99_999]
)
def test_a_header_that_is_no_header_is_refused(tmp_path: Path, document: str) -> None:
    (tmp_path / "x").write_bytes(struct.pack("<Q", len(document)) + document.encode())
    assert "header" in refusal(tmp_path / "x")


def test_an_unknown_field_in_the_header_is_refused(path: Path, net: UNet) -> None:
    document = json.loads(HEADER.model_dump_json()) | {"code": "import os"}
    save_file(net.state_dict(), path, {METADATA_KEY: json.dumps(document)})
    assert "code: Extra inputs are not permitted" in refusal(path)


def test_a_truncated_file_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])
    assert "cut off" in refusal(path)


def test_missing_and_unexpected_tensors_are_refused(path: Path, net: UNet) -> None:
    state = net.state_dict()
    surplus = state.pop("head.bias")
    save_checkpoint(path, state, HEADER)
    assert "1 tensors are missing or unexpected, for example head.bias" in refusal(path)
    save_checkpoint(path, state | {"head.bias": surplus, "more": surplus.clone()}, HEADER)
    assert "for example more" in refusal(path)


def test_tensors_of_another_shape_are_refused_even_if_the_config_implies_a_huge_net(path: Path, net: UNet) -> None:
    huge = TrainConfig(net=NetConfig(depth=6, width=256), chip_size=256)
    save_checkpoint(path, net.state_dict(), HEADER.model_copy(update={"config": huge}))
    assert "missing or unexpected" in refusal(path)
    wide = TrainConfig(net=NetConfig(depth=2, width=256))
    save_checkpoint(path, net.state_dict(), HEADER.model_copy(update={"config": wide}))
    assert "which its config does not imply" in refusal(path)


def test_weights_that_are_not_finite_are_refused(path: Path) -> None:
    tensors = load_tensors(path)
    tensors["head.bias"][0] = torch.nan
    save_checkpoint(path, tensors, HEADER)
    assert "head.bias contains NaN" in refusal(path)
