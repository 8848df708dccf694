"""The header of a checkpoint, which can be read without torch.

A checkpoint is one safetensors file: 8 bytes with the length of a JSON header, the header, the tensors. The header's
`__metadata__` holds, under the key `canemap`, one JSON document of the closed schema `CheckpointHeader`.
"""

import json
import struct
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from ml.config import TrainConfig
from ml.contract import Contract
from ml.evaluation.assessment import Assessment
from ml.evaluation.metrics import Metrics
from ml.evaluation.report import TrainReport
from ml.faults import Fault, InputRefused
from ml.frozen import Frozen

METADATA_KEY = "canemap"
HEADER_LIMIT_BYTES = 100_000_000  # safetensors has the same limit


VersionName = Annotated[str, Field(max_length=80)]
VersionText = Annotated[str, Field(max_length=1000)]


class CheckpointHeader(Frozen):
    """Everything that a checkpoint holds beside its tensors.

    contract: Which scenes the model can be used on. config: Settings of the training. val: Metrics of the weights
    that the file holds (`config.keep` says which) on the validation split. test: Metrics on the test split, or None if
    there is no such split. details: Parts of the metrics, by the name of the split. report: Report of the training
    beside its metrics. best_epoch: Number of the epoch after which the weights were taken, counted from 1.
    dataset_sha256: `TrainingData.sha256` of the training's dataset. versions: Software and hardware that made the
    checkpoint, by name: `ml.provenance.software`, `StreamNet.made_by` and `Execution.made_by`; of several attempts,
    those of the last one.
    """

    format: Literal["canemap-checkpoint-1"] = "canemap-checkpoint-1"
    contract: Contract
    config: TrainConfig
    val: Metrics | None = None
    test: Metrics | None = None
    details: dict[str, Assessment] = Field(default_factory=dict)
    report: TrainReport | None = None
    best_epoch: int = Field(ge=0)
    dataset_sha256: str = ""
    versions: dict[VersionName, VersionText] = Field(default_factory=dict, max_length=100)

    @property
    def temperature(self) -> float:
        """The number by which logits are divided before they become probabilities; 1 if nobody has measured it."""
        return self.report.calibration.temperature if self.report and self.report.calibration else 1.0

    @model_validator(mode="before")
    @classmethod
    def _without_what_stood_twice(cls, document: Any) -> Any:
        """Drop `test_blocks`, which older checkpoints have and which repeats the confusions of `details["test"]`."""
        return {k: v for k, v in document.items() if k != "test_blocks"} if isinstance(document, dict) else document


def read_header(path: Path) -> CheckpointHeader:
    """The header of the checkpoint at `path`; no tensor is read.

    Raises:
        InputRefused: bad_checkpoint, if the file is not a safetensors file or not a checkpoint of canemap.
    """
    try:
        return CheckpointHeader.model_validate_json(read_metadata(path, METADATA_KEY))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise InputRefused(*(checkpoint_fault(_told(fault["loc"], fault["msg"])) for fault in faults)) from None


def read_metadata(path: Path, key: str) -> str:
    """The text under `key` in the metadata of the safetensors file at `path`.

    Raises:
        InputRefused: bad_checkpoint, if there is no such text.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(HEADER_LIMIT_BYTES, path.stat().st_size - 8):
                raise ValueError("the header does not fit into the file")
            return str(json.loads(file.read(length))["__metadata__"][key])
    except (KeyError, TypeError, ValueError, RecursionError, struct.error) as error:
        raise bad_checkpoint("it has no header of canemap's") from error


def bad_checkpoint(why: str) -> InputRefused:
    """The error `bad_checkpoint`; why: the reason, as a clause that ends the sentence of the detail."""
    return InputRefused(checkpoint_fault(why))


def checkpoint_fault(why: str) -> Fault:
    """The fault `bad_checkpoint`; why: the reason, as a clause that ends the sentence of the detail."""
    hint = "Use the whole file model.safetensors, unchanged since canemap wrote it."
    return Fault("bad_checkpoint", f"The file cannot be used as a checkpoint: {why}.", hint)


def _told(place: tuple[int | str, ...], message: str) -> str:
    return f"in its header {'.'.join(map(str, place))[:200]}: {message}"
