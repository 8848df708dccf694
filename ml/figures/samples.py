"""Draw samples with their labels (paper, Fig 1)."""

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from ml.contract import ClassDef
from ml.figures import Lang
from ml.figures.cutouts import Picture
from ml.figures.painting import class_patches, coloured, show
from ml.figures.texts import words

_PAIRS_ACROSS = 3
_SIDE_IN = 2.0  # inches


def draw_samples(samples: Sequence[Picture], classes: Sequence[ClassDef], *, lang: Lang = "en") -> Figure:
    """Each image with its mask "truth" at its right, three pairs in a row, with a legend of the classes."""
    say = words(lang)
    across = max(1, min(_PAIRS_ACROSS, len(samples)))
    down = max(1, math.ceil(len(samples) / across))
    figure = Figure(figsize=(2 * across * _SIDE_IN + 0.3, down * (_SIDE_IN + 0.4) + 0.5), layout="constrained")
    axes = figure.subplots(down, 2 * across, squeeze=False).ravel()
    for index, sample in enumerate(samples):
        show(axes[2 * index], sample.image, sample.name, fontsize=10)
        show(axes[2 * index + 1], coloured(sample.masks["truth"], classes), say("truth"), fontsize=10)
    for spare in axes[2 * len(samples) :]:
        spare.set_axis_off()
    handles = class_patches(classes, lang)
    figure.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)), frameon=False)
    return figure
