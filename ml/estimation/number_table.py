"""A table of numbers in a CSV file, with or without the names of its rows and columns."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ml.estimation.cells import Ambiguous, number, read_cells
from ml.estimation.sample import Floats
from ml.faults import Fault, InputRefused
from ml.text import alike

TOTALS = {"total", "totals", "sum", "all", "合计", "总计", "小计", "总和"}
_NO_NUMBER = {"", "nan", "na", "n/a", "#n/a", "inf", "+inf", "-inf", "infinity", "-infinity", "null", "none", "-"}


@dataclass(frozen=True)
class NumberTable:
    """A table of numbers.

    file: Name of the file. corner: What stands above the names of the rows. heads, sides: Names of the columns and of
    the rows; empty if there are none. values: The numbers, shape (rows, columns), NaN in place of a cell with none.
    faults: What is wrong with cells and totals.
    """

    file: str
    corner: str
    heads: tuple[str, ...]
    sides: tuple[str, ...]
    values: Floats
    faults: tuple[Fault, ...]


def read_table(path: Path, first_is_names: Callable[[int, int], bool]) -> NumberTable:
    """The table in a file. Rows and columns that are named as totals are checked and then left out.

    first_is_names: Whether the first column of a table with names of columns has the names of the rows, though all of
    them are numbers; takes the number of rows below the names, and of columns.

    Raises:
        InputRefused: The file holds no table.
    """
    rows, separator = read_cells(path)
    if _is_name(rows[0][0]) and not rows[0][-1] and len(rows) > 1 and all(row[-1] for row in rows[1:]):
        rows[0] = ["", *rows[0][:-1]]  # as R writes it, without a corner
    has_heads = _has_heads(rows)
    body = rows[1:] if has_heads else rows
    columns = len(rows[0])
    has_sides = columns > 1 and (
        any(_is_name(row[0]) for row in body) or (has_heads and (not rows[0][0] or first_is_names(len(body), columns)))
    )
    if not body:
        raise InputRefused(Fault("not_a_table", f"{path.name} has names and no numbers.", "Give the numbers, too."))
    values, faults = _numbers(body, path.name, separator, has_heads, has_sides)
    table = NumberTable(
        file=path.name,
        corner=rows[0][0] if has_heads and has_sides else "",
        heads=tuple(rows[0][has_sides:]) if has_heads else (),
        sides=tuple(row[0] for row in body) if has_sides else (),
        values=values,
        faults=tuple(faults),
    )
    return _without_totals(table)


def _is_name(cell: str) -> bool:
    try:
        return cell.lower() not in _NO_NUMBER and number(cell, ",") is None
    except Ambiguous:
        return False


def _has_heads(rows: Sequence[Sequence[str]]) -> bool:
    first, *others = rows
    named = [_is_name(cell) for cell in first[1:] or first]
    if 2 * sum(named) > len(named):
        return True
    titled = not first[0] or _is_name(first[0])
    return titled and len(first) > 1 and bool(others) and not any(_is_name(row[0]) for row in others)


def _numbers(
    rows: Sequence[Sequence[str]], file: str, separator: str, above: int, before: int
) -> tuple[Floats, list[Fault]]:
    """The numbers in the cells, and a fault for each cell that has none.

    above: Number of lines above `rows`. before: Number of first cells of each row that are names.
    """
    values: list[list[float]] = []
    faults = []
    for line, row in enumerate(rows, above + 1):
        values.append([])
        for column, cell in enumerate(row[before:], before + 1):
            value, fault = _number(cell, separator, f"{file}, row {line}, column {column}")
            values[-1].append(value)
            faults += [fault] if fault else []
    return np.array(values, dtype=np.float64).reshape(len(rows), -1), faults


def _number(cell: str, separator: str, place: str) -> tuple[float, Fault | None]:
    try:
        found = number(cell, separator)
    except Ambiguous:
        detail = f"{place}: {cell} may have thousands or decimals."
        return math.nan, Fault(
            "ambiguous_number", detail, "Write 22353 without separators, or 22.3530 with four decimals."
        )
    if found is None or not math.isfinite(found):
        what = f"{cell!r} is no number" if cell else "the cell is empty"
        return math.nan, Fault("not_a_number", f"{place}: {what}.", "Give a number, 0 for none.")
    return found, None


def _without_totals(table: NumberTable) -> NumberTable:
    """The table without the rows and columns that are named as totals, with a fault for each that is no sum."""
    of_rows = np.array([alike(name) in TOTALS for name in table.sides or [""] * len(table.values)], dtype=bool)
    of_columns = np.array([alike(name) in TOTALS for name in table.heads or [""] * table.values.shape[1]], dtype=bool)
    kept = table.values[~of_rows][:, ~of_columns]
    totals = [*table.values[of_rows][:, ~of_columns], *table.values[~of_rows][:, of_columns].T]
    sums = [*[kept.sum(axis=0)] * int(of_rows.sum()), *[kept.sum(axis=1)] * int(of_columns.sum())]
    wrong = [
        Fault("wrong_total", f"{table.file}: a total is not the sum of its row or column.", "Leave the totals out.")
        for total, of_kept in zip(totals, sums, strict=True)
        if not np.isnan([*total, *of_kept]).any() and not np.allclose(total, of_kept, rtol=1e-6)
    ]
    return replace(
        table,
        heads=tuple(name for name in table.heads if alike(name) not in TOTALS),
        sides=tuple(name for name in table.sides if alike(name) not in TOTALS),
        values=kept,
        faults=(*table.faults, *wrong[:1]),
    )
