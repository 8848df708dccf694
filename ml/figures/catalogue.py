"""The figures of a dataset, of a training and of an experiment, by name; each is drawn only when it is requested."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from ml.checkpoint_header import CheckpointHeader
from ml.contract import ClassDef
from ml.datasets.class_counts import SplitStatistics
from ml.evaluation.comparison import Comparison
from ml.evaluation.metrics import Metrics
from ml.figures import Lang
from ml.figures.augmentation import draw_augmentation
from ml.figures.balance import draw_balance
from ml.figures.curves import draw_losses, draw_validation
from ml.figures.cutouts import MAPPED, Picture
from ml.figures.differences import draw_differences
from ml.figures.hinge import draw_hinge
from ml.figures.homogenisation import draw_homogenisation
from ml.figures.panels import draw_panels
from ml.figures.reliability import draw_reliability
from ml.figures.samples import draw_samples
from ml.figures.sweep import draw_sweep
from ml.figures.table import draw_table
from ml.figures.unet import draw_unet
from ml.products.palette import Rgb, colours

Row = Mapping[str, float | int | None]
Pictures = Mapping[str, Picture]
Figures = dict[str, Callable[..., Figure]]  # by name: a function with the argument lang that draws the figure


@dataclass(frozen=True)
class Trained:
    """A training to draw.

    variant: Name of its variant. header: Header of its checkpoint. series: Losses and metrics, one row for each epoch.
    pictures: Pictures that `ml.nn.training.pictures` wrote.
    """

    variant: str
    header: CheckpointHeader
    series: Sequence[Row]
    pictures: Pictures


def dataset_figures(statistics: SplitStatistics, classes: Sequence[ClassDef], pictures: Pictures) -> Figures:
    """The figures of a dataset: samples, class balance, and homogenisation if it is used.

    statistics: Classes of the training split. pictures: Pictures that `ml.figures.cutouts.dataset_pictures` wrote.
    """
    pixels = {item.name: statistics.pixels[item.name] for item in classes}
    area_ha = {item.name: statistics.area_ha[item.name] for item in classes}
    before, after = _numbered("before", pictures), _numbered("after", pictures)
    figures: Figures = {
        "samples": partial(draw_samples, _numbered("sample", pictures), classes),
        "balance": partial(draw_balance, pixels, None, _by_name(classes), area_ha=area_ha),
    }
    return figures | ({"homogenisation": partial(draw_homogenisation, before, after)} if after else {})


def training_figures(trained: Trained) -> Figures:
    """The figures that the paper has of one training."""
    header, pictures = trained.header, trained.pictures
    classes, net = header.contract.classes, header.config.net
    outputs = 1 if len(classes) == 2 else len(classes)
    shape = len(header.contract.bands), net.depth, net.width, outputs, header.config.chip_size
    one = {trained.variant: [trained.series]}
    sheet = {key.removeprefix("augment "): picture for key, picture in pictures.items() if key.startswith("augment ")}
    figures: Figures = {
        "loss": partial(draw_losses, one),
        "validation": partial(draw_validation, one),
        "panels": partial(_panels, [trained]),
        "augmentation": partial(draw_augmentation, sheet, classes),
        "unet": partial(draw_unet, *shape),
        "hinge": draw_hinge,
    }
    if header.report:
        balance = header.report.balance
        figures["balance"] = partial(draw_balance, balance.before, balance.after, _by_name(classes))
        if header.report.calibration:
            figures["reliability"] = partial(draw_reliability, header.report.calibration)
    return figures


def experiment_figures(comparison: Comparison, trainings: Sequence[Trained]) -> Figures:
    """The figures of the paper's comparison: table, curves, panels, differences, and the sweep of the Lovász weight."""
    series: dict[str, list[Sequence[Row]]] = {}
    for each in trainings:
        series.setdefault(each.variant, []).append(each.series)
    first = {each.variant: each for each in reversed(trainings)}
    figures: Figures = {
        "table": partial(draw_table, [row.model_dump() for row in comparison.table]),
        "loss": partial(draw_losses, series),
        "validation": partial(draw_validation, series),
        "panels": partial(_panels, [first[row.variant] for row in comparison.table]),
    }
    if comparison.differences:
        figures["differences"] = partial(draw_differences, [row.model_dump() for row in comparison.differences])
    swept = [(_lovasz_weight(each.header), each.header.config.seed, _scores(each.header)) for each in trainings]
    if len({weight for weight, _, _ in swept}) > 2:
        figures["sweep"] = partial(draw_sweep, swept)
    return figures


def _panels(trainings: Sequence[Trained], *, lang: Lang = "en") -> Figure:
    """The maps of all trainings for the same window, which was chosen by the labels alone."""
    picture = trainings[0].pictures["panel"]
    maps = {each.variant: each.pictures["panel"].masks[MAPPED] for each in trainings}
    scores = {each.variant: _scores(each.header) for each in trainings}
    return draw_panels(picture, maps, trainings[0].header.contract.classes, scores=scores, lang=lang)


def _scores(header: CheckpointHeader) -> dict[str, float | None]:
    metrics: Metrics | None = header.test or header.val
    return {name: getattr(metrics, name) for name in ("accuracy", "iou", "kappa")}


def _lovasz_weight(header: CheckpointHeader) -> float:
    loss: Any = header.config.loss
    return float(loss.lovasz_hinge or loss.lovasz_softmax)


def _numbered(kind: str, pictures: Pictures) -> list[Picture]:
    return [picture for key, picture in pictures.items() if key.startswith(f"{kind} ")]


def _by_name(classes: Sequence[ClassDef]) -> dict[str, Rgb]:
    of_value = colours(classes)
    return {item.name: of_value[item.value] for item in classes}
