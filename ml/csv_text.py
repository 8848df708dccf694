"""Cells of CSV files, which spreadsheets open."""

from collections.abc import Iterable

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def plain_cells(values: Iterable[object]) -> list[object]:
    """The values of a line, in which no text is a formula: a spreadsheet would compute it. Numbers stay as they are."""
    return [f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value for value in values]
