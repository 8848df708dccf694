"""A preset is expanded into the config, gives way to what is given, and never changes."""

from typing import get_args

import pytest
from pydantic import ValidationError

from ml.config import AUGMENTATIONS, TrainConfig
from ml.evaluation.plan import Plan, Variant
from ml.presets import NEWEST, PRESETS, Preset

ROBUST_1 = {
    "preset": "robust-1",
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
    "augment": ["crop", "flip", "rotate", "translate", "scale", "affine", "noise", "radiometry"],
    "views": 8,
}


def test_robust_1_never_changes() -> None:
    assert TrainConfig.model_validate(ROBUST_1) == TrainConfig.model_validate({"preset": "robust"})
    found = TrainConfig.model_validate({"preset": "robust-1"}).model_dump(mode="json")
    assert {key: found[key] for key in ROBUST_1} == ROBUST_1


def test_the_paper_is_one_word_away_and_still_the_default() -> None:
    paper = TrainConfig.model_validate({"preset": "paper"})
    assert paper.preset == "paper-1"
    assert paper.model_copy(update={"preset": None}) == TrainConfig()
    assert paper.augment == AUGMENTATIONS


def test_every_name_means_a_preset_with_a_number() -> None:
    assert set(get_args(Preset)) == NEWEST.keys() | PRESETS.keys()
    assert set(NEWEST.values()) <= PRESETS.keys()


def test_what_is_given_counts_more_than_the_preset_and_single_fields_do_too() -> None:
    config = TrainConfig.model_validate({"preset": "robust", "views": 1, "optimizer": {"lr": 0.5}})
    assert (config.views, config.optimizer.lr, config.optimizer.name) == (1, 0.5, "adamw")
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config, "a stored config is read as it is"


def test_a_stored_config_does_not_follow_its_preset() -> None:
    stored = TrainConfig.model_validate({"preset": "robust"}).model_dump(mode="json") | {"keep": "last"}
    assert TrainConfig.model_validate(stored).keep == "last"


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ValidationError, match="'paper', 'robust', 'paper-1' or 'robust-1'"):
        TrainConfig.model_validate({"preset": "robust-0"})


def test_variants_of_an_experiment_can_be_presets() -> None:
    variants = (Variant(name="paper", config={"preset": "paper"}), Variant(name="robust", config={"preset": "robust"}))
    plan = Plan(config={"optimizer": {"lr": 0.1}}, variants=variants, seeds=(0,))
    paper, robust = (planned.config for planned in plan.trainings(2))
    assert (paper.optimizer.name, robust.optimizer.name) == ("sgd", "adamw")
    assert paper.optimizer.lr == robust.optimizer.lr == 0.1
