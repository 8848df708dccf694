"""The base of every value object in `ml`."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """An immutable value with a closed schema: unknown fields, NaN and infinity are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
