"""The base of every value object in `ml`."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """An immutable value of a closed schema: an unknown field is an error, NaN is no number."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
