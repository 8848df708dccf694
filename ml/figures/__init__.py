"""Figures of datasets, trainings and experiments, and map sheets.

In all of them cane is green, other black and unobserved grey.

This file has only the languages and the file formats of figures, so that it loads without matplotlib, which takes
seconds.
"""

from typing import Literal

Lang = Literal["en", "zh"]
Format = Literal["png", "svg"]
PageFormat = Literal["pdf", "png"]  # of a map sheet
Paper = Literal["a4", "a3"]
