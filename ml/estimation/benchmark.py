"""Estimates of zones that add up to those of all ground."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ml.estimation.rows import AreaRow
from ml.estimation.sample import Floats

_ROUNDS = 1000
_NEAR = 1e-10  # of the whole area: a province of 24 million hectares is met to 24 square metres


def benchmarked(rows: Sequence[AreaRow], zones_ha: Floats, classes_ha: Floats) -> tuple[AreaRow, ...]:
    """The rows of zones, scaled so that each zone adds up to its area, and each class to its area on all ground.

    Raking: rows and columns of the table are scaled in turn until both agree (Deming and Stephan 1940, doi
    10.1214/aoms/1177731829). Standard errors and intervals are scaled with their estimates; what the totals add to them
    is not counted. Zones may have estimates by different methods, which do not add up by themselves.

    rows: Of all zones, zone by zone, by class. zones_ha: Area of each zone. classes_ha: Area of each class on all
    ground.

    Raises:
        ValueError: A row has no estimate, the areas of zones and classes have different sums, or they cannot be met,
            since a class with an area has none in any zone.
    """
    shape = len(zones_ha), len(classes_ha)
    values = np.array([np.nan if row.area.value is None else row.area.value for row in rows]).reshape(shape)
    if np.isnan(values).any() or not np.isclose(zones_ha.sum(), classes_ha.sum(), rtol=1e-9):
        raise ValueError("all rows need an estimate, and zones and classes the same sum of areas")
    factors = raked(values, zones_ha, classes_ha) / np.where(values > 0, values, 1.0)
    return tuple(replace(row, area=row.area.scaled(factor)) for row, factor in zip(rows, factors.ravel(), strict=True))


def raked(table: Floats, of_rows: Floats, of_columns: Floats) -> Floats:
    """The table, scaled to the sums `of_rows`, shape (rows,), and `of_columns`, shape (columns,), which sum up alike.

    Raises:
        ValueError: They cannot be met: zeros of the table are in the way.
    """
    for _ in range(_ROUNDS):
        table = table * _factors(of_rows, table.sum(axis=1))[:, None]
        table = table * _factors(of_columns, table.sum(axis=0))
        off = np.abs(table.sum(axis=1) - of_rows).max() + np.abs(table.sum(axis=0) - of_columns).max()
        if off <= _NEAR * of_rows.sum():
            return table
    raise ValueError("no scaling of the table has these sums")


def _factors(wanted: Floats, found: Floats) -> Floats:
    factors: Floats = np.divide(wanted, found, out=np.zeros(len(wanted)), where=found > 0)
    return factors
