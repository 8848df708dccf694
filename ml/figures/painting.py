"""Functions for all figures with pictures: show an image, colour a mask, and make the legend of its colours."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ml.contract import UNLABELLED, ClassDef
from ml.figures import Lang
from ml.figures.texts import words
from ml.products.palette import UNOBSERVED, Rgb, colours

Mask = NDArray[np.uint8]


def coloured(mask: Mask, classes: Sequence[ClassDef]) -> NDArray[np.uint8]:
    """The mask in the colours of its classes, uint8 (rows, cols, 3); pixels without a class are grey.

    mask: Class values, uint8 (rows, cols).
    """
    table = np.full((UNLABELLED + 1, 3), UNOBSERVED, dtype=np.uint8)
    for value, colour in colours(classes).items():
        table[value] = colour
    return table[mask]


def show(axes: Axes, image: NDArray[np.uint8] | NDArray[np.floating], title: str = "", fontsize: float = 11) -> None:
    """Show an image with a title, without ticks."""
    axes.imshow(image, interpolation="nearest")
    axes.set_title(title, fontsize=fontsize)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color("0.6")


def class_patches(classes: Sequence[ClassDef], lang: Lang) -> list[Patch]:
    """The entries of the legend of a coloured mask."""
    of_value = colours(classes)
    return [patch(of_value[item.value], item.name) for item in classes] + [patch(UNOBSERVED, words(lang)("unlabelled"))]


def patch(colour: Rgb, label: str) -> Patch:
    """An entry of a legend."""
    red, green, blue = colour
    return Patch(facecolor=(red / 255, green / 255, blue / 255), edgecolor="0.4", label=label)
