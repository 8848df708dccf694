"""Does a training's config fit the data?"""

from collections.abc import Iterator, Sequence

from ml.config import TrainConfig
from ml.faults import Fault


def data_faults(config: TrainConfig, classes: int, references: Sequence[str]) -> Iterator[Fault]:
    """What in `config` does not fit so many classes, or what the labels call their pixels; places are of `config`."""
    wrong, right = ("lovasz_softmax", "lovasz_hinge") if classes == 2 else ("lovasz_hinge", "lovasz_softmax")
    if config.loss and getattr(config.loss, wrong):
        detail = f"{wrong} is not a loss for {classes} classes."
        yield Fault("wrong_loss", detail, f"Give the weight to {right}.", f"/config/loss/{wrong}")
    if config.balance == "oversample_exact" and classes > 2:
        hint = "Take balance oversample, which draws chips by their rarest class."
        yield Fault("binary_only", "balance oversample_exact is for two classes.", hint, "/config/balance")
    if unknown := sorted(set(config.hard_negatives) - set(references)):
        known = ", ".join(references) or "nothing; give the labels a class_field"
        detail = f"The labels call no pixel {', '.join(unknown)}."
        yield Fault("unknown_reference", detail, f"They name {known}.", "/config/hard_negatives")
