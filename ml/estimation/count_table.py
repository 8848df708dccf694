"""The counts of sample points and the areas of the map's classes, read from two CSV files."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml.estimation.number_table import NumberTable, read_table
from ml.estimation.sample import Floats, Integers
from ml.faults import Fault, InputRefused, Note, refuse_any
from ml.text import alike, first_few

Names = tuple[str, ...]
_OF_TRUTH = ("reference", "ground truth", "truth", "true", "actual", "ref", "参考", "真实", "实际")
_OF_MAP = ("mapped", "map", "prediction", "predicted", "classified", "地图", "制图", "分类", "预测")
_HOW = "Write the classes of the map down and the reference classes across, both by the same names."


@dataclass(frozen=True)
class CountTable:
    """What the two files say.

    names: Classes, in the order of the reference classes. counts: Points by mapped class (rows) and true class
    (columns), shape (classes, classes). mapped: Area of each class on the map, shape (classes,). notes: How the files
    were understood where they leave it open.
    """

    names: Names
    counts: Integers
    mapped: Floats
    notes: tuple[Note, ...]


def read_count_table(counts_file: Path, areas_file: Path) -> CountTable:
    """The counts and areas in two CSV files.

    counts_file: A row for each class of the map and a column for each reference class, with the names of both, of one
    of them, or as numbers alone. areas_file: The area of each class on the map: in one row or one column, under a line
    of the classes, or as lines `class,area`.

    Raises:
        InputRefused: With the faults of both files.
    """
    table = read_table(counts_file, lambda rows, columns: columns == rows + 1)
    column = read_table(areas_file, lambda rows, columns: columns == 2 and rows > 1)
    faults = [*table.faults, *column.faults, *_shape_faults(table), *_transposed(table), *_count_faults(table)]
    heads, sides = _plain(table.heads, _OF_TRUTH), _plain(table.sides, _OF_MAP)
    faults += _name_faults(table.file, heads, sides)
    found = _areas(column, heads or sides or _numbered(table.values.shape[1]))
    faults += _name_faults(column.file, found.names, ()) if found else [_areas_fault(column)]
    if not found:
        raise InputRefused(*faults)
    names = heads or sides or _names_of(found, _numbered(len(table.values)))
    refuse_any([*faults, *_area_faults(column.file, found.values)])
    refuse_any(_other_classes(column.file, found, names))
    counts = table.values[_order(sides, names)] if sides else table.values
    mapped = found.values[_order(found.names, names)] if found.names else found.values
    refuse_any(_stratum_faults(names, counts, mapped))
    return CountTable(names, counts.astype(np.int64), mapped, tuple(_notes(table, column, found.names)))


@dataclass(frozen=True)
class _Areas:
    """The areas that a file lists, shape (classes,), and their classes, if it names them."""

    names: Names
    values: Floats


def _areas(column: NumberTable, classes: Names) -> _Areas | None:
    """The areas in the table, or None if it is no list. classes: Of the counts; a line of their numbers is no areas."""
    values = column.values
    if 1 in values.shape:
        flat = values.ravel()
        names = column.heads if len(values) == 1 and values.size > 1 else column.sides
        return _Areas(_plain(names, _OF_MAP) if len(names) == len(flat) else (), flat)
    lines = [pair for pair in (values, values.T) if len(pair) == 2 and not (column.heads or column.sides)]
    lists = [_Areas(tuple(f"{name:g}" for name in pair[0]), pair[1]) for pair in lines]
    named = [found for found in lists if set(found.names) == set(classes)]
    return named[0] if len(named) == 1 else None


def _areas_fault(column: NumberTable) -> Fault:
    rows, columns = column.values.shape
    detail = (
        f"{column.file} has {rows} rows and {columns} columns of numbers, of which it is not clear which are areas."
    )
    return Fault("not_a_list", detail, "Give one area for each class: one row, one column, or lines `class,area`.")


def _names_of(found: _Areas, numbered: Names) -> Names:
    """The names of the classes of counts without names, which are in the order of the areas, or of their numbers."""
    return numbered if not found.names or _same(found.names, numbered) else found.names


def _numbered(count: int) -> Names:
    return tuple(str(number) for number in range(1, count + 1))


def _plain(names: Names, words: Sequence[str]) -> Names:
    """The names without a word before each that says what they are, like "ref cane", if all have one."""
    found = [_prefix(words).match(name) for name in names]
    if all(found) and names:
        return tuple(name[match.end() :] for name, match in zip(names, found, strict=True) if match)
    return names


def _prefix(words: Sequence[str]) -> re.Pattern[str]:
    """Matches one of the words at the start of a name; in Chinese the name follows without a space."""
    forms = (word if not word.isascii() else rf"{word}[\s_:-]" for word in words)
    return re.compile(rf"({'|'.join(forms)})[\s_:-]*(?=.)", re.IGNORECASE)


def _order(names: Names, wanted: Names) -> list[int]:
    """The indices of `wanted` among `names`, by what a reader sees."""
    known = [alike(name) for name in names]
    return [known.index(alike(name)) for name in wanted]


def _same(one: Names, other: Names) -> bool:
    return sorted(map(alike, one)) == sorted(map(alike, other))


def _shape_faults(table: NumberTable) -> Iterator[Fault]:
    rows, columns = table.values.shape
    if rows != columns:
        detail = f"{table.file} has {rows} rows and {columns} columns of counts. It needs as many of both."
        yield Fault("not_square", detail, _HOW)
    elif rows < 2:
        yield Fault("too_few_classes", f"{table.file} has {rows} class. It needs two.", _HOW)
    elif not table.heads and not table.sides and rows > 2 and _has_sums(table.values):
        detail = f"The last row and the last column of {table.file} are the sums of the others."
        yield Fault("unnamed_totals", detail, "Leave the totals out.")


def _has_sums(values: Floats) -> bool:
    inner = values[:-1, :-1]
    return np.array_equal(values[-1, :-1], inner.sum(axis=0)) and np.array_equal(values[:-1, -1], inner.sum(axis=1))


def _transposed(table: NumberTable) -> Iterator[Fault]:
    """A fault if the words before the names, or in the corner, say that the rows are the reference."""
    corner = alike(table.corner)
    at = {
        which: min((corner.find(word) for word in words if word in corner), default=-1)
        for which, words in (("truth", _OF_TRUTH), ("map", _OF_MAP))
    }
    corner_says = at["truth"] >= 0 and not 0 <= at["map"] < at["truth"]
    if corner_says or _plain(table.heads, _OF_MAP) != table.heads or _plain(table.sides, _OF_TRUTH) != table.sides:
        detail = f"By its names, {table.file} has the reference classes down and the classes of the map across."
        yield Fault("transposed", detail, f"Swap rows and columns. {_HOW}")


def _count_faults(table: NumberTable) -> Iterator[Fault]:
    for (row, column), count in np.ndenumerate(table.values):
        place = f"{table.file}, count {column + 1} of class {row + 1} of the map"
        if count < 0:
            yield Fault("negative_count", f"{place}: {count:g} is negative.", "Give the number of sample points.")
        elif count % 1 > 0:
            detail = f"{place}: {count:g} is no whole number."
            yield Fault(
                "fraction_as_count", detail, "Give numbers of sample points; of shares, nobody knows of how many."
            )
    if table.values.size and not table.values.any():
        yield Fault("no_points", f"{table.file} has no sample point.", "Give the number of sample points.")


def _name_faults(file: str, one: Names, other: Names) -> Iterator[Fault]:
    for names in (one, other):
        twice = [name for name, times in Counter(map(alike, names)).items() if times > 1]
        if twice:
            yield Fault(
                "repeated_class", f"{file} names class {twice[0]!r} twice.", "Give each class a name of its own."
            )
    if one and other and not _same(one, other):
        detail = f"{file} has the reference classes {first_few(one)}, and the classes {first_few(other)} of the map."
        yield Fault("other_classes", detail, _HOW)


def _other_classes(file: str, found: _Areas, names: Names) -> Iterator[Fault]:
    if len(found.values) != len(names):
        detail = f"{file} has {len(found.values)} areas, and the counts have {len(names)} classes."
        yield Fault("other_classes", detail, "Give the area of each class on the map.")
    elif found.names and not _same(found.names, names):
        detail = f"{file} has the classes {first_few(found.names)}, and the counts have {first_few(names)}."
        yield Fault("other_classes", detail, "Name the classes alike in both files.")


def _area_faults(file: str, areas: Floats) -> Iterator[Fault]:
    for number, area in enumerate(areas, 1):
        if area < 0:
            detail = f"{file}: area {number} is {area:g}, which is negative."
            yield Fault("negative_area", detail, "Give the area of the class on the map.")
    if not areas.any():
        yield Fault("no_area", f"{file} has no area above 0.", "Give the area of each class on the map.")


def _stratum_faults(names: Names, counts: Floats, mapped: Floats) -> Iterator[Fault]:
    for name, points, area in zip(names, counts.sum(axis=1), mapped, strict=True):
        if points == 1 and area > 0:
            detail = f"Class {name} has a single sample point, which shows no variance."
            yield Fault(
                "one_point", detail, "Draw another point of this class of the map, or join it with another class."
            )
        if points > 0 and area == 0:
            detail = f"Class {name} has {points:g} sample points, and no area on the map."
            yield Fault("points_without_area", detail, "Correct the area or the counts of the class.")


def _notes(table: NumberTable, column: NumberTable, listed: Names) -> Iterator[Note]:
    if bool(table.heads) != bool(table.sides):
        detail = f"{table.file} names only its rows or only its columns; the others are taken to be in the same order."
        yield Note(code="assumed_order", detail=detail)
    if (table.heads or table.sides) and not listed:
        detail = f"{column.file} names no classes; its areas are taken to be in the order of the counts."
        yield Note(code="assumed_order", detail=detail)
