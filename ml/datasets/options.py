"""The options of a dataset, beside its files and its split."""

from typing import Literal

from pydantic import Field

from ml.contract import BINARY, ClassDef, Method
from ml.frozen import Frozen

Leaks = Literal["refuse", "drop", "allow"]


class DatasetOptions(Frozen):
    """The options that are a part of POST /v1/datasets and the whole of the file that `python -m ml --data` reads."""

    classes: tuple[ClassDef, ...] = Field(BINARY, max_length=255)
    homogenise: Literal["none"] | Method = Field("none", description="Bring all scenes to one radiometry.")
    clip_outliers: bool = Field(
        True, description="Clip pixels to the 0.1 and 99.9 percentiles of the training split, band by band."
    )
    leaks: Leaks = Field(
        "refuse", description="When splits share ground, pixels or fields: refuse, drop such fields, or note it."
    )

    @property
    def method(self) -> Method | None:
        """How scenes are homogenised; None if they are used as they are."""
        return None if self.homogenise == "none" else self.homogenise
