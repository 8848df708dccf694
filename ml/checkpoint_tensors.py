"""Checks the tensors of a checkpoint without torch, so that a model that cannot map anything is never registered."""

import json
import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from ml.checkpoint_header import CheckpointHeader, bad_checkpoint, checkpoint_fault, read_header
from ml.config import NetConfig
from ml.contract import Contract
from ml.contract_checks import contract_contradictions
from ml.datasets.checks import class_faults
from ml.evaluation.contradictions import metric_contradictions
from ml.faults import refuse_any
from ml.frozen import Frozen

HEADER_BYTES = 16_000_000  # of an imported checkpoint
SUMMARY_BYTES = 1_000_000  # of its header without `details`, which have a line for each block of the splits
_READ_VALUES = 1 << 20
_ITEM_BYTES = {"F32": 4, "I64": 8}


class Tensor(NamedTuple):
    """The type of a tensor, as safetensors names it, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Size of its values."""
        return math.prod(self.shape) * _ITEM_BYTES[self.dtype]


class _Entry(Frozen):
    """A tensor in the header of a safetensors file. data_offsets: First byte, and the one after the last."""

    dtype: str
    shape: tuple[int, ...] = Field(max_length=4)
    data_offsets: tuple[int, int]


_ENTRIES = TypeAdapter(dict[str, _Entry])


def inspect_checkpoint(path: Path) -> CheckpointHeader:
    """Check a checkpoint completely; returns its header.

    Raises:
        InputRefused: The faults of its classes, as for a dataset; bad_checkpoint, if the header is too long or invalid,
            its contract contradicts itself, its metrics are not those of its counts, a tensor is missing or unexpected,
            has another type or shape than the header's config implies, or holds a value that is not finite or a
            variance below 0.
    """
    _check_length(path)
    header = read_header(path)
    refuse_any(class_faults(header.contract.classes))
    _check_summary(header)
    start, entries = _entries(path)
    _check_entries(entries, expected_tensors(header.contract, header.config.net))
    _check_layout(entries.values(), path.stat().st_size - start)
    for name, entry in entries.items():
        if entry.dtype == "F32":
            _check_values(path, start, name, entry)
    return header


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """The float32 tensors of a checkpoint that `inspect_checkpoint` has accepted, by name, mapped into memory."""
    start, entries = _entries(path)
    values = np.memmap(path, np.uint8, mode="r")
    return {
        name: values[start + entry.data_offsets[0] : start + entry.data_offsets[1]].view("<f4").reshape(entry.shape)
        for name, entry in entries.items()
        if entry.dtype == "F32"
    }


def expected_tensors(contract: Contract, net: NetConfig) -> dict[str, Tensor]:
    """The tensors of `ml.nn.unet.UNet` for a contract and the config of a net, by name."""
    outputs = 1 if len(contract.classes) == 2 else len(contract.classes)
    widths = [net.width * 2**level for level in range(net.depth + 1)]
    found = dict(_double_conv("stem", len(contract.bands), net.width))
    for level, (upper, lower) in enumerate(pairwise(widths)):
        found |= _double_conv(f"down.{level}", upper, lower)
    for level, (upper, lower) in enumerate(reversed(list(pairwise(widths)))):
        found[f"up.{level}.enlarge.weight"] = Tensor("F32", (lower, upper, 2, 2))
        found[f"up.{level}.enlarge.bias"] = Tensor("F32", (upper,))
        found |= _double_conv(f"up.{level}.conv", 2 * upper, upper)
    return found | {
        "head.weight": Tensor("F32", (outputs, net.width, 1, 1)),
        "head.bias": Tensor("F32", (outputs,)),
    }


def _double_conv(name: str, inputs: int, outputs: int) -> Iterator[tuple[str, Tensor]]:
    """Two convolutions, each with BatchNorm and ReLU, which are the modules 0 to 5."""
    for number, channels in ((0, inputs), (3, outputs)):
        yield f"{name}.{number}.weight", Tensor("F32", (outputs, channels, 3, 3))
        for part in ("weight", "bias", "running_mean", "running_var"):
            yield f"{name}.{number + 1}.{part}", Tensor("F32", (outputs,))
        yield f"{name}.{number + 1}.num_batches_tracked", Tensor("I64", ())


def _check_length(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(8)
    if len(start) == 8 and (length := struct.unpack("<Q", start)[0]) > HEADER_BYTES:
        raise bad_checkpoint(f"its header has {length:,} bytes, over {HEADER_BYTES:,}")


def _check_summary(header: CheckpointHeader) -> None:
    scored, classes = {"val": header.val, "test": header.test}, len(header.contract.classes)
    wrong = metric_contradictions(scored, header.details, classes)
    refuse_any(checkpoint_fault(why) for why in chain(contract_contradictions(header.contract), wrong))
    length = len(header.model_copy(update={"details": {}}).model_dump_json())
    if length > SUMMARY_BYTES:
        raise bad_checkpoint(f"its header has {length:,} bytes beside `details`, over {SUMMARY_BYTES:,}")


def _entries(path: Path) -> tuple[int, dict[str, _Entry]]:
    """Position of the first byte of the values, and the tensors by name. `read_header` has read the header before."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        document = json.loads(file.read(length), object_pairs_hook=_unique)
    if not all(isinstance(text, str) for text in document.pop("__metadata__").values()):
        raise bad_checkpoint("its metadata hold something other than texts")
    try:
        return 8 + length, _ENTRIES.validate_python(document)
    except ValidationError as error:
        raise bad_checkpoint("its list of tensors is malformed") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that stands twice in the header: readers take the first or the last, or refuse the file."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise bad_checkpoint("a name stands twice in its header")
    return members


def _check_entries(found: Mapping[str, _Entry], expected: Mapping[str, Tensor]) -> None:
    if different := found.keys() ^ expected.keys():
        example = min(different)[:80]
        raise bad_checkpoint(f"{len(different)} tensors are missing or unexpected, for example {example}")
    for name, entry in found.items():
        if (entry.dtype, entry.shape) != expected[name]:
            raise bad_checkpoint(f"{name} is {entry.dtype[:8]} {entry.shape}, which its config does not imply")
        begin, end = entry.data_offsets
        if end - begin != expected[name].bytes:
            raise bad_checkpoint(f"{name} has {end - begin} bytes instead of {expected[name].bytes}")


def _check_layout(entries: Iterable[_Entry], size: int) -> None:
    """Refuse tensors that overlap or leave gaps. size: Bytes of all values in the file."""
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.data_offsets):
        if entry.data_offsets[0] != end:
            raise bad_checkpoint("its tensors overlap, or there are gaps between them")
        end = entry.data_offsets[1]
    if end != size:
        raise bad_checkpoint(f"its tensors need {end:,} bytes, but it has {size:,}")


def _check_values(path: Path, start: int, name: str, entry: _Entry) -> None:
    """Refuse values that are not finite, and variances below 0: the net would map NaN."""
    least = 0 if name.endswith(".running_var") else -np.inf
    for values in _values(path, start, entry):
        if not np.isfinite(values).all():
            raise bad_checkpoint(f"{name} contains NaN or infinite values")
        if values.min() < least:
            raise bad_checkpoint(f"{name} contains values below 0")


def _values(path: Path, start: int, entry: _Entry) -> Iterator[np.ndarray]:
    """Yield the values of a tensor of float32, in parts."""
    begin, end = entry.data_offsets
    with path.open("rb") as file:
        file.seek(start + begin)
        left = (end - begin) // _ITEM_BYTES["F32"]
        while left:
            values = np.fromfile(file, "<f4", min(left, _READ_VALUES))
            yield values
            left -= len(values)
