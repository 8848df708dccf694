"""Draw an image, its truth and the maps of variants beside each other, and the errors of each map (paper, Fig 9)."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ml.contract import MAP_NODATA, UNLABELLED, ClassDef
from ml.figures import Lang
from ml.figures.cutouts import Picture
from ml.figures.maps import scale_bar
from ml.figures.painting import Mask, class_patches, coloured, patch, show
from ml.figures.texts import words
from ml.products.palette import Rgb

# Okabe & Ito 2008: orange and sky blue, which all people can tell apart, and bright beside the dimmed correct pixels
OMISSION: Rgb = (230, 159, 0)
COMMISSION: Rgb = (86, 180, 233)
_DIMMED = 0.5  # share of its brightness that a correct pixel keeps
_SIDE_IN = 3.3  # inches
_METRICS = ("accuracy", "iou", "kappa")
Scores = Mapping[str, Mapping[str, float | None]]


def draw_panels(
    picture: Picture,
    maps: Mapping[str, Mask],
    classes: Sequence[ClassDef],
    *,
    scores: Scores | None = None,
    lang: Lang = "en",
) -> Figure:
    """The image, its mask "truth" and each map under its name.

    If there are two classes, a second row shows where each map misses or wrongly finds class 1. picture: The image with
    its mask. maps: Class values by name of the map, uint8 (rows, cols). scores: Values of "accuracy", "iou" and "kappa"
    by name of the map, for its title.
    """
    say, truth = words(lang), picture.masks["truth"]
    errors = len(classes) == 2
    columns, rows = 2 + len(maps), 2 if errors else 1
    legend_in = 0.4 + 0.28 * -(-(len(classes) + 3) // 5)
    figure = Figure(figsize=(_SIDE_IN * columns, (_SIDE_IN + 0.6) * rows + legend_in), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    show(grid[0, 0], picture.image, say("image", name=picture.name))
    if picture.pixel_m:
        scale_bar(grid[0, 0], picture.image.shape, picture.pixel_m)
    show(grid[0, 1], coloured(truth, classes), say("truth"))
    for axes, (name, mapped) in zip(grid[0, 2:], maps.items(), strict=True):
        show(axes, coloured(mapped, classes), _titled(name, (scores or {}).get(name), lang))
    handles = class_patches(classes, lang)
    if errors:
        for axes, (name, mapped) in zip(grid[1, 2:], maps.items(), strict=True):
            show(axes, error_map(truth, mapped, classes), say("errors", name=name))
        for axes in grid[1, :2]:
            axes.set_axis_off()
        found = next(item.name for item in classes if item.value == 1)
        handles.append(patch(OMISSION, say("omission error", name=found)))
        handles.append(patch(COMMISSION, say("commission error", name=found)))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)), frameon=False)
    return figure


def error_map(truth: Mask, mapped: Mask, classes: Sequence[ClassDef]) -> NDArray[np.uint8]:
    """The errors of a map, uint8 (rows, cols, 3).

    Pixels where `mapped` misses or wrongly finds class 1 are bright, correct ones dimmed, and unknown ones grey.
    """
    known = (truth != UNLABELLED) & (mapped != MAP_NODATA)
    image = coloured(np.where(known, truth, UNLABELLED).astype(np.uint8), classes)
    image[known] = (_DIMMED * image[known]).astype(np.uint8)
    image[known & (truth == 1) & (mapped != 1)] = OMISSION
    image[known & (truth != 1) & (mapped == 1)] = COMMISSION
    return image


def _titled(name: str, scores: Mapping[str, float | None] | None, lang: Lang) -> str:
    """The name of a map, and its scores on the line below."""
    say = words(lang)
    short = {"accuracy": say("short accuracy"), "iou": say("iou"), "kappa": say("kappa")}
    known = [f"{short[key]} {value:.3f}" for key in _METRICS if (value := (scores or {}).get(key)) is not None]
    return "\n".join([name, "  ".join(known)] if known else [name])
