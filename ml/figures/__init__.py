"""Figures of datasets, trainings and experiments. In all of them cane is green, other black and unobserved grey.

This file has only the languages and the file formats of figures, so that it loads without matplotlib, which takes
seconds.
"""

from typing import Literal

Lang = Literal["en", "zh"]
Format = Literal["png", "svg"]
