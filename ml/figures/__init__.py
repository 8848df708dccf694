"""Figures: what people would rather look at. One palette everywhere: cane green, other black, unobserved grey.

This file says how figures may be asked for, without loading what draws them: matplotlib takes seconds.
"""

from typing import Literal

Lang = Literal["en", "zh"]
Format = Literal["png", "svg"]
