"""Checkpoints: safetensors files of tensors and a JSON header with a fixed schema, never code.

This is the only module that loads weights.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ml.checkpoint_header import METADATA_KEY, CheckpointHeader, bad_checkpoint, read_header
from ml.nn.unet import UNet, make_net


class LoadedCheckpoint(NamedTuple):
    """The net of a checkpoint, in eval mode and on the CPU, and the checkpoint's header."""

    net: UNet
    header: CheckpointHeader


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], header: CheckpointHeader) -> None:
    """Write the state dict `tensors` and `header` to the checkpoint `path`; an interrupted write changes nothing."""
    save_tensors(path, tensors, {METADATA_KEY: header.model_dump_json()})


def load_checkpoint(path: Path) -> LoadedCheckpoint:
    """Load the net and the header of the checkpoint at `path`.

    Raises:
        InputRefused: code `bad_checkpoint`: the header is invalid, a tensor is missing or unexpected, a tensor has
            another shape or dtype than the header's config implies, or a value is not finite.
    """
    header = read_header(path)
    tensors = load_tensors(path)
    with torch.device("meta"):  # allocates nothing: a header cannot make this process fill its memory
        net = make_net(header.contract, header.config.net)
    _check_tensors(tensors, net.state_dict())
    net.load_state_dict(tensors, assign=True)
    return LoadedCheckpoint(net.eval().requires_grad_(False), header)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file; after a crash at any moment `path` holds either its old content or all of the new."""
    part = path.with_name(path.name + ".part")
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, part, metadata)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Load all tensors of a safetensors file onto the CPU.

    Raises:
        InputRefused: code `bad_checkpoint`: the file is damaged.
    """
    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        raise bad_checkpoint("its tensors are damaged or cut off") from error


def _check_tensors(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    if different := found.keys() ^ expected.keys():
        raise bad_checkpoint(f"{len(different)} tensors are missing or unexpected, for example {min(different)}")
    for name, tensor in found.items():
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype:
            raise bad_checkpoint(f"{name} is {tensor.dtype} {tuple(tensor.shape)}, which its config does not imply")
        if not torch.isfinite(tensor).all():
            raise bad_checkpoint(f"{name} contains NaN or infinite values")
