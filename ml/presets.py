"""Presets: named settings of a training, frozen and numbered, so that a name means the same for ever.

A preset is expanded into the config of a training; settings that a user gives count more. A better recipe is a new
number, and the name without a number then means that one.
"""

from collections.abc import Mapping
from typing import Any, Literal

Preset = Literal["paper", "robust", "paper-1", "robust-1"]
NEWEST = {"paper": "paper-1", "robust": "robust-1"}
_GEOMETRY = ("crop", "flip", "rotate", "translate", "scale", "affine")
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "paper-1": {
        "net": {"depth": 4, "width": 64},
        "epochs": 100,
        "batch_size": 8,
        "chip_size": 256,
        "optimizer": {
            "name": "sgd",
            "lr": 0.01,
            "momentum": 0.9,
            "weight_decay": 1e-4,
            "schedule": "poly",
            "warmup": 0.0,
        },
        "keep": "best",
        "balance": "oversample",
        "augment": (*_GEOMETRY, "noise"),
        "views": 1,
    },
    "robust-1": {
        "optimizer": {
            "name": "adamw",
            "lr": 0.002,
            "momentum": 0.9,
            "weight_decay": 0.01,
            "schedule": "cosine",
            "warmup": 0.05,
        },
        "keep": "averaged",
        "average_decay": 0.999,
        "augment": (*_GEOMETRY, "noise", "radiometry"),
        "views": 8,
    },
}


def expanded(document: Mapping[str, Any]) -> dict[str, Any]:
    """The settings `document` with those of its preset where it has none, and with the number of the preset."""
    name = NEWEST.get(document["preset"], document["preset"])
    merged = {key: _merged(value, document[key]) if key in document else value for key, value in PRESETS[name].items()}
    return {**document, **merged, "preset": name}


def _merged(value: Any, given: Any) -> Any:
    return {**value, **given} if isinstance(value, Mapping) and isinstance(given, Mapping) else given
