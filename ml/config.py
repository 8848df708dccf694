"""All hyper-parameters, each defined and documented once, at its field.

The HTTP API, the command line and `python -m ml` all use these classes; an unknown key is refused.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, Self, get_args

from pydantic import Field, model_validator

from ml.faults import Fault
from ml.frozen import Frozen
from ml.presets import Preset, expanded
from ml.text import alike

Augmentation = Literal["crop", "flip", "rotate", "translate", "scale", "affine", "noise", "colour_jitter", "radiometry"]
# those of the paper, which found that colour jitter hurts, since crops are told apart by colour
AUGMENTATIONS: tuple[Augmentation, ...] = ("crop", "flip", "rotate", "translate", "scale", "affine", "noise")
_PRESETS = get_args(Preset)
PrecisionName = Literal["auto", "float32", "tf32", "bfloat16"]
Balance = Literal["none", "undersample", "oversample", "oversample_exact"]


MOST_STEPS = 10**9  # more would take years; and the database counts them in 64 bits
MOST_WEIGHT = 1e6
LOVASZ_WEIGHT = 0.5  # default weight of the Lovász loss beside cross-entropy of weight 1, as in the paper


class NetConfig(Frozen):
    """The U-Net (Ronneberger 2015) with padded 3x3 convolutions and BatchNorm."""

    depth: int = Field(
        4, ge=1, le=6, description="Number of poolings by 2; the bottleneck has 1/2^depth of the resolution."
    )
    width: int = Field(64, ge=1, le=256, description="Channels of the first level; each pooling doubles them.")


class LossConfig(Frozen):
    """Weights of the parts of the loss; a part that is not named has weight 0."""

    ce: float = Field(0.0, ge=0, le=MOST_WEIGHT, description="Weight of the cross-entropy.")
    lovasz_hinge: float = Field(
        0.0,
        ge=0,
        le=MOST_WEIGHT,
        description=f"Weight of the Lovász hinge, for two classes; the paper found {LOVASZ_WEIGHT} best.",
    )
    lovasz_softmax: float = Field(
        0.0, ge=0, le=MOST_WEIGHT, description="Weight of the Lovász-softmax, for more than two classes."
    )
    per_image: bool = Field(
        False,
        description="Compute the Lovász loss by image and take the mean; else over the batch, like the pooled IoU.",
    )
    lovasz_ramp: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of all steps over which the weight of the Lovász loss rises from near 0 to its own: early "
        "the order of the errors, which it weights them by, means little.",
    )

    @model_validator(mode="after")
    def _something_to_minimise(self) -> Self:
        if not (self.ce or self.lovasz_hinge or self.lovasz_softmax):
            raise ValueError("give ce or a Lovász loss a weight above 0: if all are 0, there is nothing to minimise")
        return self

    @model_validator(mode="after")
    def _something_to_begin_with(self) -> Self:
        if self.lovasz_ramp and not self.ce:
            raise ValueError("lovasz_ramp needs another loss to begin with: give ce a weight above 0")
        return self


class OptimizerConfig(Frozen):
    """How the weights of the net are updated."""

    name: Literal["sgd", "adamw"] = Field("sgd", description="The paper uses sgd.")
    lr: float = Field(0.01, gt=0, le=10, description="Learning rate at the first step after the warm-up.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of sgd; the first beta of adamw.")
    weight_decay: float = Field(1e-4, ge=0, le=1, description="L2 penalty of sgd; decoupled decay of adamw.")
    schedule: Literal["poly", "cosine", "constant"] = Field(
        "poly", description="Learning rate over the steps: (1 - t)^0.9, half a cosine, or unchanged."
    )
    warmup: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of all steps over which the learning rate rises to lr; the schedule follows.",
    )


class TrainConfig(Frozen):
    """The settings of one training. The defaults are those of the paper, where it states them."""

    preset: Preset | None = Field(
        None,
        description="Named settings that count where none are given: paper, or robust for ground unlike that of the "
        "training. They are written out in the config, and the preset gets its number, like robust-1.",
    )
    init: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description='Model with whose weights the training begins, like "cane@champion"; the stored config has its '
        'version, like "cane:3". It needs the same bands; with other classes the last layer begins anew. By default '
        "`net` is that of the model.",
    )
    init_rate: float = Field(0.1, gt=0, le=1, description="Factor of optimizer.lr in a training with init.")
    frozen_levels: int = Field(
        0,
        ge=0,
        le=7,
        description="Levels of the net, from the finest on down, that keep the weights of init on the way down.",
    )
    net: NetConfig = NetConfig()
    loss: LossConfig | None = Field(
        None,
        description=f"By default that of the paper: ce 1, lovasz_hinge {LOVASZ_WEIGHT}; with over two classes "
        f"lovasz_softmax {LOVASZ_WEIGHT}.",
    )
    epochs: int = Field(100, ge=1, le=10_000, description="Passes over the training split.")
    batch_size: int = Field(8, ge=1, le=1024, description="Chips that go through the net at once.")
    accumulate: int = Field(
        1,
        ge=1,
        le=1024,
        description="Batches of batch_size chips whose mean gradient makes one step. BatchNorm and a Lovász loss are "
        "still computed on one batch at a time.",
    )
    chip_size: int = Field(256, ge=16, le=2048, description="Side of a chip in pixels; a multiple of 2^depth.")
    steps_per_epoch: int | None = Field(
        None,
        ge=1,
        le=MOST_STEPS,
        description="Steps in an epoch; by default as many as draw each chip once, more or fewer with `balance`.",
    )
    max_steps: int | None = Field(
        None, ge=1, le=MOST_STEPS, description="Stop after this number of steps, even if epochs are left."
    )
    optimizer: OptimizerConfig = OptimizerConfig()
    keep: Literal["best", "last", "averaged"] = Field(
        "best",
        description="Weights that the model gets: those of the epoch that stands highest on the val split, those after "
        "the last step, or their running average over the steps. A val split of one region chooses badly for others.",
    )
    average_decay: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="Share of the running average that a step keeps; after n steps at most (1 + n) / (10 + n), so that "
        "the first weights are soon forgotten.",
    )
    balance: Balance = Field(
        "oversample",
        description="Draw chips rich in rare classes more often (the paper), draw chips poor in them less often, or "
        "neither; `oversample_exact` shows each chip once as it is, and augmented copies without their frequent class.",
    )
    hard_negatives: tuple[str, ...] = Field(
        (),
        max_length=1000,
        description='Names of look-alike crops in the labels, like "cassava": their chips are drawn 3 times as often.',
    )
    augment: tuple[Augmentation, ...] = Field(
        AUGMENTATIONS,
        max_length=100,
        description="Augmentations that are applied to each chip. radiometry is a mild random gain and offset of all "
        "bands together, and a milder one of each band.",
    )
    min_valid: float = Field(0.05, ge=0, le=1, description="Chips with a smaller share of valid pixels are dropped.")
    views: Literal[1, 8] = Field(
        1,
        description="Views of a scene whose logits are averaged when the trained model is scored and maps: 8 are the "
        "four turns of the scene and of its mirror image, and take eight times as long.",
    )
    review_labels: bool = Field(
        True, description="After training, list training blocks whose labels the net contradicts."
    )
    boundary_m: float | None = Field(
        None, gt=0, le=10_000, description="Distance in metres of the boundary IoU; by default two pixels."
    )
    seed: int = Field(
        0, ge=0, lt=2**32, description="Seed of the initial weights, the order of chips and the augmentation."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU where there is one.")
    precision: PrecisionName = Field(
        "auto",
        description="Number type of the net's products; auto is bfloat16 on a GPU that has it, else float32. tf32 "
        "is for GPUs: float32 with 10 bits of mantissa. The model is scored in float32 whatever it is trained in.",
    )
    channels_last: bool | None = Field(
        None,
        description="Store the channels of a pixel side by side; by default on a GPU. CPUs with AVX-512 may be a fifth "
        "faster with it, others slower.",
    )
    compile: bool = Field(False, description="Compile the net with torch.compile; needs a C++ compiler.")

    @model_validator(mode="before")
    @classmethod
    def _with_its_preset(cls, document: Any) -> Any:
        return expanded(document) if isinstance(document, dict) and document.get("preset") in _PRESETS else document

    @model_validator(mode="after")
    def _chips_fit_the_net(self) -> Self:
        step = 2**self.net.depth
        if self.chip_size % step:
            nearest = max(step, round(self.chip_size / step) * step)
            raise ValueError(
                f"chip_size {self.chip_size} is not a multiple of 2^depth = {step}: use {nearest} or a smaller depth"
            )
        return self

    @model_validator(mode="after")
    def _tf32_has_a_gpu(self) -> Self:
        _check_tf32(self.precision, self.device)
        return self

    @model_validator(mode="after")
    def _frozen_weights_come_from_somewhere(self) -> Self:
        if self.frozen_levels and self.init is None:
            raise ValueError("frozen_levels keep the weights of init: give init, or leave frozen_levels out")
        return self

    @model_validator(mode="after")
    def _exact_means_each_chip_once(self) -> Self:
        if self.balance == "oversample_exact" and self.steps_per_epoch:
            raise ValueError("balance oversample_exact shows each chip once: leave steps_per_epoch out")
        return self

    @property
    def needs_gpu(self) -> bool:
        """Whether only a machine with a GPU can do it."""
        return _needs_gpu(self.precision, self.device)

    @property
    def rate(self) -> float:
        """Factor of the learning rate."""
        return 1.0 if self.init is None else self.init_rate

    def for_classes(self, classes: int) -> Self:
        """The same config, with the paper's loss for this number of classes if none was chosen."""
        if self.loss:
            return self
        return self.model_copy(update={"loss": LossConfig(**{"ce": 1.0, lovasz_of(classes): LOVASZ_WEIGHT})})

    def data_faults(self, classes: int, references: Sequence[str]) -> Iterator[Fault]:
        """The faults of this config for a dataset, with pointers into `/config`.

        classes: Number of classes. references: Names that the labels give to pixels.
        """
        right = lovasz_of(classes)
        wrong = "lovasz_softmax" if right == "lovasz_hinge" else "lovasz_hinge"
        if self.loss and getattr(self.loss, wrong):
            detail = f"{wrong} is not a loss for {classes} classes."
            yield Fault("wrong_loss", detail, f"Give the weight to {right}.", f"/config/loss/{wrong}")
        if self.balance == "oversample_exact" and classes > 2:
            hint = "Use balance oversample, which draws chips by their rarest class."
            yield Fault("binary_only", "balance oversample_exact is for two classes.", hint, "/config/balance")
        named = set(map(alike, references))
        if unknown := sorted({name for name in self.hard_negatives if alike(name) not in named}):
            known = ", ".join(references) or "nothing; set class_field of the labels"
            detail = f"The labels name no pixel {', '.join(unknown)}."
            yield Fault("unknown_reference", detail, f"They name {known}.", "/config/hard_negatives")

    def warnings(self) -> tuple[str, ...]:
        """Warnings about settings that are allowed but unwise."""
        found = []
        if "colour_jitter" in self.augment:
            found.append("colour_jitter changes the colours that tell crops apart: the paper found that it hurts.")
        if self.precision == "bfloat16" and self.device != "cuda":
            found.append("bfloat16 without a GPU is up to ten times slower than float32: let precision be auto.")
        return tuple(found)


def _check_tf32(precision: PrecisionName, device: str) -> None:
    if precision == "tf32" and device == "cpu":
        raise ValueError("tf32 is a precision of GPUs: set device to cuda or auto, or precision to float32")


def _needs_gpu(precision: PrecisionName, device: str) -> bool:
    return device == "cuda" or precision == "tf32"


def lovasz_of(classes: int) -> str:
    """The field of `LossConfig` with the Lovász loss for this number of classes."""
    return "lovasz_hinge" if classes == 2 else "lovasz_softmax"


THRESHOLD = 0.5  # default threshold of a prediction
MMU_HA = 0.04  # 400 m2, four pixels of 10 m, 0.6 mu: less than most fields of smallholders
Output = Literal["classes", "probability", "polygons", "tiles", "uncertainty"]


class PredictConfig(Frozen):
    """The settings of one prediction."""

    threshold: float = Field(
        THRESHOLD,
        gt=0,
        lt=1,
        description="Lowest probability that makes a pixel class 1; a model of more classes maps the likeliest and "
        "takes no threshold.",
    )
    outputs: tuple[Output, ...] = Field(
        ("classes", "probability", "polygons", "tiles"),
        min_length=1,
        max_length=100,
        description="Products to make; uncertainty, which is not made by default, is the entropy of the probabilities.",
    )
    min_area_ha: float = Field(0.0, ge=0, le=1e12, description="Smaller polygons are left out of the polygon files.")
    mmu_ha: float | None = Field(
        None,
        ge=0,
        le=1e6,
        description="Minimum mapping unit of the polygon files in hectares: smaller patches, also those that are "
        "holes in others, are merged into the largest patch beside them. `polygons` in the document tells by how many "
        f"hectares that changes each class. null is {MMU_HA}, four pixels of 10 m. 0 keeps every patch.",
    )
    simplify_m: float | None = Field(
        None,
        gt=0,
        le=10_000,
        description="How much the outlines in the polygon files are simplified, in metres on the ground: a corner goes "
        "if the triangle with its neighbours is smaller than simplify_m squared. Neighbours stay without gaps and "
        "overlaps, and area_ha is still that of the pixels. null follows every pixel.",
    )
    views: Literal[1, 8] | None = Field(
        None,
        description="Views of the scene whose logits are averaged, as in the config of a training; null takes those "
        "with which the model was scored.",
    )
    stripe_px: int | None = Field(
        None,
        ge=64,
        le=1_000_000,
        description="Width in pixels of the stripes in which a wide scene flows through the net, to limit memory; "
        "null takes the width that 256 MB hold. It does not change the result.",
    )
    engine: Literal["auto", "torch", "native"] = Field(
        "auto",
        description="What computes the convolutions on a CPU: auto takes native, canemap's own, or torch if there "
        "is no such library for the CPU.",
    )
    precision: PrecisionName = Field(
        "auto",
        description="auto is bfloat16 on a GPU that has it, else float32, in which the model was scored. tf32 is for "
        "GPUs: float32 with 10 bits of mantissa.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU where there is one.")

    @model_validator(mode="after")
    def _tf32_has_a_gpu(self) -> Self:
        _check_tf32(self.precision, self.device)
        return self

    @property
    def needs_gpu(self) -> bool:
        """Whether only a machine with a GPU can do it."""
        return _needs_gpu(self.precision, self.device)

    def class_faults(self, classes: int) -> Iterator[Fault]:
        """binary_only: A threshold is chosen for a model of more than two classes. classes: Number of classes."""
        if classes > 2 and self.threshold != THRESHOLD:
            detail = f"A threshold of {self.threshold:g} is for two classes: the model has {classes}."
            hint = "Leave threshold out: the likeliest class is mapped."
            yield Fault("binary_only", detail, hint, "/config/threshold")
