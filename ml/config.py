"""Every hyper-parameter, defined once and documented at its field.

The HTTP API, the command line and `python -m ml` all read these classes; an unknown key is refused.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from ml.model import Frozen

Augmentation = Literal["flip", "rotate", "translate", "scale", "noise"]
AUGMENTATIONS: tuple[Augmentation, ...] = ("flip", "rotate", "translate", "scale", "noise")


class NetConfig(Frozen):
    """The U-Net (Ronneberger 2015) with padded 3x3 convolutions and BatchNorm."""

    depth: int = Field(4, ge=1, le=6, description="Poolings by 2; the bottleneck sees 1/2^depth of the resolution.")
    width: int = Field(64, ge=1, le=256, description="Channels of the first level, doubled with each pooling.")


class LossConfig(Frozen):
    """Weights of the parts of the loss; a part that is not named has weight 0."""

    ce: float = Field(0.0, ge=0, description="Weight of the binary cross-entropy.")
    lovasz_hinge: float = Field(0.0, ge=0, description="Weight of the Lovász hinge; the paper found 0.5 best.")
    per_image: bool = Field(
        False, description="Lovász hinge per image, then the mean; else over the batch, which matches the pooled IoU."
    )

    @model_validator(mode="after")
    def _something_to_minimise(self) -> Self:
        if self.ce == 0 and self.lovasz_hinge == 0:
            raise ValueError("give ce or lovasz_hinge a weight above 0: with both 0 there is nothing to minimise")
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
    loss: LossConfig = LossConfig(ce=1.0, lovasz_hinge=0.5)
    epochs: int = Field(100, ge=1, le=10_000, description="Passes over the training split.")
    batch_size: int = Field(8, ge=1, le=1024, description="Chips in a step.")
    chip_size: int = Field(256, ge=16, le=2048, description="Side of a chip in pixels; a multiple of 2^depth.")
    steps_per_epoch: int | None = Field(
        None, ge=1, description="Steps in an epoch; by default as many as draw each chip once; `balance` adds or takes."
    )
    max_steps: int | None = Field(None, ge=1, description="Stop after so many steps, though epochs are left.")
    optimizer: OptimizerConfig = OptimizerConfig()
    balance: Literal["none", "undersample", "oversample"] = Field(
        "oversample",
        description="Draw chips rich in the rare class more often (the paper), poor ones less, or neither.",
    )
    augment: tuple[Augmentation, ...] = Field(AUGMENTATIONS, description="Which augmentations each chip goes through.")
    seed: int = Field(0, ge=0, lt=2**32, description="Of weights, chips and augmentation.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU where there is one.")

    @model_validator(mode="after")
    def _chips_fit_the_net(self) -> Self:
        step = 2**self.net.depth
        if self.chip_size % step:
            nearest = max(step, round(self.chip_size / step) * step)
            raise ValueError(
                f"chip_size {self.chip_size} is no multiple of 2^depth = {step}: take {nearest}, or a smaller net.depth"
            )
        return self


Output = Literal["classes", "probability", "polygons"]


class PredictConfig(Frozen):
    """One prediction."""

    threshold: float = Field(0.5, gt=0, lt=1, description="Probability from which a pixel is of class 1.")
    outputs: tuple[Output, ...] = Field(
        ("classes", "probability", "polygons"), min_length=1, description="The products wanted."
    )
    min_area_ha: float = Field(0.0, ge=0, description="Smaller polygons are left out of the polygon files.")
    window_px: int = Field(
        1024, ge=64, le=8192, description="Side of the windows the scene is cut into; no influence on the result."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU where there is one.")
