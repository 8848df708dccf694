"""Data for the figures in tests, and functions that read texts and points from figures."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from numpy.typing import NDArray

from ml.figures.curves import Row
from ml.figures.cutouts import Picture

SIDE = 24


def texts(figure: Figure) -> list[str]:
    """All texts in a figure, also those in the cells of tables, which `findobj` does not find."""
    cells = [cell for axes in figure.axes for table in axes.tables for cell in table.get_celld().values()]
    found = [*figure.findobj(Text), *(cell.get_text() for cell in cells)]
    return [text for item in found if isinstance(item, Text) and (text := item.get_text())]


def points(line: Line2D) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The x and the y of all points of a line."""
    across, up = line.get_data()
    return np.asarray(across, dtype=float), np.asarray(up, dtype=float)


def picture(name: str = "scene", level: int = 100) -> Picture:
    """A uniform picture whose left half is class 1 and whose first row is unlabelled."""
    truth = np.zeros((SIDE, SIDE), dtype=np.uint8)
    truth[:, : SIDE // 2] = 1
    truth[0] = 255
    return Picture(name, np.full((SIDE, SIDE, 3), level, dtype=np.uint8), {"truth": truth}, pixel_m=0.8)


def training(*, epochs: int = 4, shift: float = 0.0, lovasz: bool = True) -> list[Row]:
    """The series of a training: the loss falls by 0.1 in each epoch, and the last epoch but one has the best IoU."""
    rows: list[Row] = []
    for epoch in range(1, epochs + 1):
        score = 0.5 + 0.1 * epoch if epoch < epochs else 0.5
        losses = {"loss": 2 - 0.1 * epoch + shift, "loss_ce": 1.0, "loss_lovasz_hinge": 0.5 if lovasz else None}
        rows.append({"epoch": epoch, **losses, "val_accuracy": score, "val_iou": score, "val_kappa": None})
    return rows


def compared(variant: str, accuracy: float, omission: float | None = None) -> dict[str, object]:
    """A row in the table of a comparison."""
    row: dict[str, object] = {"variant": variant, "split": "test", "runs": 3, "kappa": {"mean": None, "sd": None}}
    row["accuracy"] = {"mean": accuracy, "sd": 0.0031}
    return row | ({"omission": {"mean": omission, "sd": None}} if omission is not None else {})


def difference(a: str, metric: str, mean: float | None, ci95: tuple[float, float] | None) -> dict[str, object]:
    """The difference of variant `a` from the baseline "CE"."""
    return {"a": a, "b": "CE", "metric": metric, "mean": mean, "ci95": ci95}
