"""What figures can be rendered as: known without loading what draws them."""

from typing import Literal

Lang = Literal["en", "zh"]
Format = Literal["png", "svg"]
