"""Every hyper-parameter, defined once and documented at its field.

The HTTP API, the command line and `python -m ml` all read these classes; an unknown key is refused.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from ml.faults import Fault
from ml.frozen import Frozen

Augmentation = Literal["crop", "flip", "rotate", "translate", "scale", "affine", "noise", "colour_jitter"]
# the paper's; it found that colour jitter hurts, since colour is what tells the crops apart
AUGMENTATIONS: tuple[Augmentation, ...] = ("crop", "flip", "rotate", "translate", "scale", "affine", "noise")
Balance = Literal["none", "undersample", "oversample", "oversample_exact"]


class NetConfig(Frozen):
    """The U-Net (Ronneberger 2015) with padded 3x3 convolutions and BatchNorm."""

    depth: int = Field(4, ge=1, le=6, description="Poolings by 2; the bottleneck sees 1/2^depth of the resolution.")
    width: int = Field(64, ge=1, le=256, description="Channels of the first level, doubled with each pooling.")


class LossConfig(Frozen):
    """Weights of the parts of the loss; a part that is not named has weight 0."""

    ce: float = Field(0.0, ge=0, description="Weight of the cross-entropy.")
    lovasz_hinge: float = Field(
        0.0, ge=0, description="Weight of the Lovász hinge, for two classes; the paper found 0.5 best."
    )
    lovasz_softmax: float = Field(0.0, ge=0, description="Weight of the Lovász-softmax, for more than two classes.")
    per_image: bool = Field(
        False, description="Lovász loss per image, then the mean; else over the batch, which matches the pooled IoU."
    )

    @model_validator(mode="after")
    def _something_to_minimise(self) -> Self:
        if not (self.ce or self.lovasz_hinge or self.lovasz_softmax):
            raise ValueError("give ce or a Lovász loss a weight above 0: with all 0 there is nothing to minimise")
        return self


class OptimizerConfig(Frozen):
    """How the weights move."""

    name: Literal["sgd", "adamw"] = Field("sgd", description="The paper uses sgd.")
    lr: float = Field(0.01, gt=0, le=10, description="Learning rate at the first step.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of sgd; the first beta of adamw.")
    weight_decay: float = Field(1e-4, ge=0, le=1, description="L2 penalty of sgd; decoupled decay of adamw.")
    schedule: Literal["poly", "cosine", "constant"] = Field(
        "poly", description="Learning rate over the steps: (1 - t)^0.9, half a cosine, or unchanged."
    )


class TrainConfig(Frozen):
    """One training. The defaults are the paper's, completed where it is silent."""

    net: NetConfig = NetConfig()
    loss: LossConfig | None = Field(
        None,
        description="By default the paper's: ce 1 and lovasz_hinge 0.5; with over two classes lovasz_softmax 0.5.",
    )
    epochs: int = Field(100, ge=1, le=10_000, description="Passes over the training split.")
    batch_size: int = Field(8, ge=1, le=1024, description="Chips that go through the net at once.")
    accumulate: int = Field(
        1,
        ge=1,
        le=1024,
        description="Batches of batch_size chips whose mean gradient makes one step. BatchNorm and a Lovász loss still "
        "see one batch at a time.",
    )
    chip_size: int = Field(256, ge=16, le=2048, description="Side of a chip in pixels; a multiple of 2^depth.")
    steps_per_epoch: int | None = Field(
        None, ge=1, description="Steps in an epoch; by default as many as draw each chip once; `balance` adds or takes."
    )
    max_steps: int | None = Field(None, ge=1, description="Stop after so many steps, though epochs are left.")
    optimizer: OptimizerConfig = OptimizerConfig()
    balance: Balance = Field(
        "oversample",
        description="Draw chips rich in rare classes more often (the paper), poor ones less, or neither; "
        "`oversample_exact` shows each chip once as it is, and augmented copies without their frequent class.",
    )
    hard_negatives: tuple[str, ...] = Field(
        (), description='What labels call look-alike crops, like "cassava": their chips are drawn 3 times as often.'
    )
    augment: tuple[Augmentation, ...] = Field(AUGMENTATIONS, description="Which augmentations each chip goes through.")
    min_valid: float = Field(0.05, ge=0, le=1, description="Chips with a smaller share of valid pixels are dropped.")
    review_labels: bool = Field(True, description="At the end list training blocks whose labels the net contradicts.")
    boundary_m: float | None = Field(
        None, gt=0, le=10_000, description="Distance in metres of the boundary IoU; by default two pixels."
    )
    seed: int = Field(0, ge=0, lt=2**32, description="Of weights, chips and augmentation.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU where there is one.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Of the net's products; auto is bfloat16 on GPUs that have it, else float32."
    )
    channels_last: bool | None = Field(
        None,
        description="Keep the channels of a pixel side by side; by default on a GPU. CPUs with AVX-512 may be a fifth "
        "faster so, others slower.",
    )
    compile: bool = Field(False, description="Compile the net with torch.compile; needs a C++ compiler.")

    @model_validator(mode="after")
    def _chips_fit_the_net(self) -> Self:
        step = 2**self.net.depth
        if self.chip_size % step:
            nearest = max(step, round(self.chip_size / step) * step)
            raise ValueError(
                f"chip_size {self.chip_size} is no multiple of 2^depth = {step}: take {nearest}, or a smaller net.depth"
            )
        return self

    @model_validator(mode="after")
    def _exact_means_each_chip_once(self) -> Self:
        if self.balance == "oversample_exact" and self.steps_per_epoch:
            raise ValueError("balance oversample_exact shows each chip once: leave steps_per_epoch out")
        return self

    def for_classes(self, classes: int) -> Self:
        """The same with the paper's loss for so many classes, where none was chosen."""
        return (
            self if self.loss else self.model_copy(update={"loss": LossConfig(**{"ce": 1.0, lovasz_of(classes): 0.5})})
        )

    def data_faults(self, classes: int, references: Sequence[str]) -> Iterator[Fault]:
        """What does not fit so many classes, or what the labels call their pixels; places are of `/config`."""
        right = lovasz_of(classes)
        wrong = "lovasz_softmax" if right == "lovasz_hinge" else "lovasz_hinge"
        if self.loss and getattr(self.loss, wrong):
            detail = f"{wrong} is not a loss for {classes} classes."
            yield Fault("wrong_loss", detail, f"Give the weight to {right}.", f"/config/loss/{wrong}")
        if self.balance == "oversample_exact" and classes > 2:
            hint = "Take balance oversample, which draws chips by their rarest class."
            yield Fault("binary_only", "balance oversample_exact is for two classes.", hint, "/config/balance")
        if unknown := sorted(set(self.hard_negatives) - set(references)):
            known = ", ".join(references) or "nothing; give the labels a class_field"
            detail = f"The labels call no pixel {', '.join(unknown)}."
            yield Fault("unknown_reference", detail, f"They name {known}.", "/config/hard_negatives")

    def warnings(self) -> tuple[str, ...]:
        """What is allowed but unwise."""
        found = []
        if "colour_jitter" in self.augment:
            found.append("colour_jitter changes what tells crops apart: the paper found that it hurts.")
        if self.precision == "bfloat16" and self.device != "cuda":
            found.append("bfloat16 without a GPU is up to ten times slower than float32: let precision be auto.")
        return tuple(found)


def lovasz_of(classes: int) -> str:
    """The Lovász loss for so many classes, by its name in `LossConfig`."""
    return "lovasz_hinge" if classes == 2 else "lovasz_softmax"


Output = Literal["classes", "probability", "polygons", "tiles"]


class PredictConfig(Frozen):
    """One prediction."""

    threshold: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Probability from which a pixel is of class 1; of more than two classes the likeliest is mapped.",
    )
    outputs: tuple[Output, ...] = Field(
        ("classes", "probability", "polygons", "tiles"), min_length=1, description="The products wanted."
    )
    min_area_ha: float = Field(0.0, ge=0, description="Smaller polygons are left out of the polygon files.")
    stripe_px: int | None = Field(
        None,
        ge=64,
        description="Width of the stripes in which a wide scene flows through the net, a matter of memory; null takes "
        "what 256 MB hold. No influence on the result.",
    )
    engine: Literal["auto", "torch", "native"] = Field(
        "auto",
        description="What computes the convolutions on a CPU: auto takes native, canemap's own, and torch where there "
        "is no library of it for the CPU.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto is bfloat16 on a GPU that has it, else float32."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU where there is one.")
