"""One chip after each augmentation (paper, Fig 4)."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from ml.contract import ClassDef
from ml.figures import Lang
from ml.figures.cutouts import Picture
from ml.figures.painting import class_patches, coloured, show
from ml.figures.texts import words

REJECTED = "colour_jitter"  # the paper found that it hurts, since crops are told apart by colour
_SIDE_IN = 1.75  # inches


def draw_augmentation(sheet: Mapping[str, Picture], classes: Sequence[ClassDef], *, lang: Lang = "en") -> Figure:
    """A contact sheet with each image above its mask "truth"; pixels from outside the chip are unlabelled and grey.

    sheet: Pictures by augmentation, like "flip", or "as it is" for the chip without augmentation.
    """
    say = words(lang)
    figure = Figure(figsize=(_SIDE_IN * len(sheet) + 0.2, 2 * _SIDE_IN + 1.1), layout="constrained")
    upper, lower = figure.subplots(2, len(sheet), squeeze=False)
    for above, below, (kind, picture) in zip(upper, lower, sheet.items(), strict=True):
        note = f"\n({say('rejected')})" if kind == REJECTED else ""
        show(above, picture.image, say(kind) + note, fontsize=10)
        show(below, coloured(picture.masks["truth"], classes))
    handles = class_patches(classes, lang)
    figure.legend(handles=handles, loc="outside lower center", ncols=min(8, len(handles)), frameon=False)
    return figure
