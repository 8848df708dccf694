"""The plan of an experiment: each variant is trained with each seed, and the variants are compared (Table 1)."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, ValidationError

from ml.config import MOST_WEIGHT, TrainConfig, lovasz_of
from ml.faults import Fault
from ml.frozen import Frozen
from ml.text import alike, is_visible_name

Settings = dict[str, Any]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Weight = Annotated[float, Field(ge=0, le=MOST_WEIGHT)]
MERGED = ("net", "optimizer")  # a variant may change single fields of these; it replaces all other settings whole
MOST_TRAININGS = 200


class Variant(Frozen):
    """One variant. config: Settings that differ from the config of the experiment."""

    name: str = Field(min_length=1, max_length=80)
    config: Settings = Field(default_factory=dict)


class PlannedTraining(Frozen):
    """One training of an experiment."""

    variant: str
    seed: int
    config: TrainConfig


class Plan(Frozen):
    """An experiment: every variant with every seed.

    config: Settings that all variants share. lovasz_weights: Weights of the Lovász loss in the paper's sweep; each adds
    a variant, and 0 means cross-entropy alone.
    """

    config: Settings = Field(default_factory=dict)
    variants: tuple[Variant, ...] = Field((), max_length=50)
    seeds: tuple[Seed, ...] = Field((0, 1, 2), min_length=1, max_length=50)
    lovasz_weights: tuple[Weight, ...] = Field((), max_length=20, description="Adds CE + w * Lovász for each w.")

    def all_variants(self, classes: int) -> tuple[Variant, ...]:
        """The named variants, then those of the sweep; the first one is the baseline. classes: Number of classes."""
        part = lovasz_of(classes)
        swept = (
            Variant(name=f"ce+{weight:g}*lovasz" if weight else "ce", config={"loss": {"ce": 1.0, part: weight}})
            for weight in self.lovasz_weights
        )
        return (*self.variants, *swept)

    def trainings(self, classes: int) -> tuple[PlannedTraining, ...]:
        """Every training, seed by seed, so that the variants of the first seed can be compared early.

        Raises:
            ValidationError: A config is wrong; see `plan_faults`.
        """
        return tuple(
            PlannedTraining(
                variant=variant.name, seed=seed, config=TrainConfig.model_validate(self.settings(variant, seed))
            )
            for seed in self.seeds
            for variant in self.all_variants(classes)
        )

    def settings(self, variant: Variant, seed: int) -> Settings:
        """The config of one training, not yet validated."""
        merged = {
            name: {**self.config[name], **variant.config[name]}
            for name in MERGED
            if name in self.config and name in variant.config
        }
        return {**self.config, **variant.config, **merged, "seed": seed}


def plan_faults(plan: Plan, classes: int) -> Iterator[Fault]:
    """All faults of a plan, with pointers into the request. classes: Number of classes of the dataset."""
    variants = plan.all_variants(classes)
    names = [variant.name for variant in variants]
    if not variants:
        hint = "Add variants, or lovasz_weights for the paper's sweep, like [0, 0.25, 0.5, 1]."
        yield Fault("no_variants", "The plan has no variants to compare.", hint, "/variants")
    alikes = [alike(name) for name in names]
    if twice := sorted({name for name, key in zip(names, alikes, strict=True) if alikes.count(key) > 1}):
        hint = "Rename them; case and invisible characters do not count."
        yield Fault("same_name", f"Several variants are called {', '.join(map(repr, twice))}.", hint, "/variants")
    for number, variant in enumerate(plan.variants):
        if not is_visible_name(variant.name) or variant.name.strip(".") == "":
            detail = f"The name {variant.name!r} is blank, is only dots or has control characters."
            hint = "Give the variant a name of visible characters, on one line."
            yield Fault("bad_name", detail, hint, f"/variants/{number}/name")
    if len(set(plan.seeds)) < len(plan.seeds):
        yield Fault("same_seed", "A seed stands twice: both trainings would be the same.", "Name it once.", "/seeds")
    if (count := len(variants) * len(plan.seeds)) > MOST_TRAININGS:
        yield Fault("too_many_runs", f"The plan has {count} trainings.", f"Plan at most {MOST_TRAININGS}.", "/seeds")
    for number, variant in enumerate(variants):
        at = f"/variants/{number}/config" if number < len(plan.variants) else "/config"
        yield from _config_faults(plan, variant, at)


def _config_faults(plan: Plan, variant: Variant, at: str) -> Iterator[Fault]:
    try:
        TrainConfig.model_validate(plan.settings(variant, plan.seeds[0]))
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False, include_input=False):
            pointer = "/".join((at, *map(str, error["loc"])))
            hint = "See the config of a training in docs/http-api.md."
            yield Fault("invalid_config", f"{variant.name}: {error['msg']}.", hint, pointer)
