"""The cells of a CSV file as people and spreadsheets write them: encodings, separators, and forms of numbers."""

import csv
import io
import re
import unicodedata
from pathlib import Path

from ml.faults import Fault, InputRefused
from ml.labels.formats.text_encoding import decoded

MAX_BYTES = 1_000_000
_SEPARATORS = (";", "\t", ",")  # a file with semicolons or tabs may have commas in its numbers
_SEP_LINE = re.compile(r"\Asep=.\r?\n")  # by which Excel learns the separator
_SPACES = re.compile(r"(?<=\d)[ \u00a0\u2009\u202f'\u2019](?=\d{3}(\D|$))")
_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_COMMA_GROUPS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")
_DOT_GROUPS = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+(,\d*)?")
_ONE_GROUP = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")


class Ambiguous(Exception):
    """Raised for a number that may mean two: 22.353 and 22,353 between semicolons."""


def read_cells(path: Path) -> tuple[list[list[str]], str]:
    """The cells of a CSV file by row, and the separator between them.

    Rows and columns without any text are left out at the end, and so are empty rows between. Rows are as long as the
    longest. Text is UTF-8, UTF-16 with a byte-order mark, or GB 18030; the separator is a semicolon, a tab or a comma,
    or in a table of numbers alone, spaces.

    Raises:
        InputRefused: The file is empty, too large, or no text.
    """
    data = path.read_bytes()[: MAX_BYTES + 1]
    if len(data) > MAX_BYTES:
        raise _refused("too_large", f"{path.name} has more than {MAX_BYTES:,} bytes.", "Give the table alone.")
    text = _SEP_LINE.sub("", decoded(data))
    separator = _separator(text)
    try:
        read = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True))
    except csv.Error:
        read = []
    rows = [row for row in ([unicodedata.normalize("NFKC", cell).strip() for cell in row] for row in read) if any(row)]
    if "\0" in text or not rows:
        raise _refused("not_a_table", f"{path.name} is empty, or is not a table as text.", "Save the table as CSV.")
    width = max(max(index for index, cell in enumerate(row) if cell) + 1 for row in rows)
    return [(row + [""] * width)[:width] for row in rows], separator


def number(cell: str, separator: str) -> float | None:
    """The number in a cell, None if it holds none: a name, nothing, NaN, or infinity.

    Thousands may be apart by commas, dots, spaces or apostrophes, if it is clear that they are.

    Raises:
        Ambiguous: One comma or dot may be that of thousands or that of decimals.
    """
    text = _SPACES.sub("", cell)
    if separator != "," and _ONE_GROUP.fullmatch(text):
        raise Ambiguous
    if _PLAIN.fullmatch(text):
        return float(text)
    if _COMMA_GROUPS.fullmatch(text):
        return float(text.replace(",", ""))
    if _DOT_GROUPS.fullmatch(text):
        return float(text.replace(".", "").replace(",", "."))
    if _DECIMAL_COMMA.fullmatch(text):
        return float(text.replace(",", "."))
    return None


def _separator(text: str) -> str:
    """The character between cells. Spaces are it if they part all lines into numbers, and no thousands."""
    if mark := next((mark for mark in _SEPARATORS if mark in text), None):
        return mark
    numbers = [_SPACES.sub("", line.strip()) for line in text.splitlines()]
    apart = any(" " in line for line in numbers) and all(
        _PLAIN.fullmatch(cell) for line in numbers for cell in line.split()
    )
    return " " if apart else ","


def _refused(code: str, detail: str, hint: str) -> InputRefused:
    return InputRefused(Fault(code, detail, hint))
