"""Plans of experiments: their trainings and their faults."""

import pytest

from ml.evaluation.plan import Plan, Variant, plan_faults

BASE = {"net": {"depth": 2, "width": 8}, "chip_size": 64, "optimizer": {"name": "adamw", "lr": 0.01}}


def test_every_variant_is_trained_with_every_seed() -> None:
    plan = Plan(config=BASE, variants=(Variant(name="a"), Variant(name="b")), seeds=(3, 5))
    assert [(each.variant, each.seed, each.config.seed) for each in plan.trainings(2)] == [
        ("a", 3, 3),
        ("b", 3, 3),
        ("a", 5, 5),
        ("b", 5, 5),
    ]


def test_a_variant_changes_single_fields_of_net_and_optimizer_but_the_whole_loss() -> None:
    settings = {"net": {"width": 4}, "optimizer": {"lr": 0.1}, "loss": {"ce": 1.0}}
    plan = Plan(config={**BASE, "loss": {"ce": 1, "lovasz_hinge": 0.5}}, variants=(Variant(name="a", config=settings),))
    config = plan.trainings(2)[0].config
    assert (config.net.depth, config.net.width) == (2, 4)
    assert (config.optimizer.name, config.optimizer.lr) == ("adamw", 0.1)
    assert config.loss is not None
    assert config.loss.lovasz_hinge == 0, "a loss of ce alone has no Lovász hinge"


@pytest.mark.parametrize(("classes", "part"), [(2, "lovasz_hinge"), (13, "lovasz_softmax")])
def test_the_sweep_uses_the_lovasz_loss_for_the_number_of_classes(classes: int, part: str) -> None:
    trainings = Plan(lovasz_weights=(0, 0.5), seeds=(0,)).trainings(classes)
    assert [each.variant for each in trainings] == ["ce", "ce+0.5*lovasz"]
    assert [getattr(each.config.loss, part) for each in trainings] == [0, 0.5]


def test_all_faults_of_a_plan_are_found_with_their_pointers() -> None:
    variants = (Variant(name="a", config={"epochs": 0}), Variant(name="a", config={"nett": {}}))
    faults = list(plan_faults(Plan(variants=variants, seeds=(1, 1)), 2))
    assert [(fault.code, fault.pointer) for fault in faults] == [
        ("same_name", "/variants"),
        ("same_seed", "/seeds"),
        ("invalid_config", "/variants/0/config/epochs"),
        ("invalid_config", "/variants/1/config/nett"),
    ]


def test_variants_whose_names_look_alike_or_cannot_be_shown_are_refused() -> None:
    names = ("wide", "Wide\u200b", "..", "a\x00b", " ", "ce+0.5*lovasz", "甘蔗")
    plan = Plan(variants=tuple(Variant(name=name) for name in names))
    assert [(fault.code, fault.pointer) for fault in plan_faults(plan, 2)] == [
        ("same_name", "/variants"),
        ("bad_name", "/variants/2/name"),
        ("bad_name", "/variants/3/name"),
        ("bad_name", "/variants/4/name"),
    ]
    assert [fault.code for fault in plan_faults(Plan(variants=plan.variants[5:], lovasz_weights=(0.5,)), 2)] == [
        "same_name"
    ]


def test_a_plan_without_variants_or_with_too_many_trainings_is_refused() -> None:
    assert [fault.code for fault in plan_faults(Plan(), 2)] == ["no_variants"]
    many = tuple(Variant(name=str(number)) for number in range(21))
    assert [fault.code for fault in plan_faults(Plan(variants=many, seeds=tuple(range(10))), 2)] == ["too_many_runs"]
