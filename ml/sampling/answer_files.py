"""Reads the answers of a labeller: a CSV file as spreadsheets save it, or GeoJSON."""

import csv
import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml.contract import ClassDef
from ml.faults import Fault, InputRefused, refuse_any
from ml.labels.formats.text_encoding import decoded
from ml.sampling.design import MOST_POINTS
from ml.text import alike, first_few, is_one_line

COLUMNS = ("id", "class", "unusable")
MOST_REASON = 200  # characters
_SEPARATORS = ",;\t"
_SEP_LINE = re.compile(r"\A\ufeff*sep=.\r?\n")  # by which Excel learns the separator
Places = Mapping[int, tuple[int, int]]  # row and column of each point
_EXPORT = "Fill in the file of points that GET /v1/samples/{id}/points?f=csv gives, and send it as it is."


@dataclass(frozen=True)
class Answer:
    """What a labeller says of a point. value: Value of its class; None if it is `unusable`, which is the reason."""

    point: int
    value: int | None
    unusable: str | None


@dataclass(frozen=True)
class _Row:
    """One row of a file. place: Where it stands, as a pointer. at: Row and column of its pixel, "" if not told."""

    place: str
    id: str
    class_: str
    unusable: str
    at: tuple[str, str]


def answers_in_csv(
    content: bytes, points: Collection[int], classes: Sequence[ClassDef], places: Places | None = None
) -> list[Answer]:
    """The answers in a CSV with the columns id, class and unusable; others are not read. Empty rows are no answers.

    content: In UTF-8, or UTF-16 with a byte-order mark, or GB 18030; the separator is a comma, a semicolon or a tab.
    points: Ids of the sample. classes: Of the map; an answer is the name of one, or its value. places: Of the points.
    If the file has the columns row and col, they must say the same: ids of all samples are 1, 2, 3, so a file of
    another sample fits this one.

    Raises:
        InputRefused: All faults: not_a_table, missing_column, unknown_point, other_point, repeated_point,
            unknown_class, ambiguous_class, two_answers, invalid_text.
    """
    text = _SEP_LINE.sub("", decoded(content)).lstrip("\ufeff")
    if "\0" in text:
        hint = "In Excel or WPS, save the table as CSV. GeoJSON will do, too."
        raise InputRefused(Fault("not_a_table", "The body is a workbook or another binary file, and no CSV.", hint))
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text))
    try:
        header, *rows = [row for row in lines if any(row)] or [[]]
    except csv.Error as error:
        raise InputRefused(Fault("not_a_table", f"The body is no CSV: {error}.", _EXPORT)) from error
    names = [cell.strip().lower() for cell in header]
    _check_columns(names, len(rows))
    found = (dict(zip(names, row, strict=False)) for row in rows)
    return _answers([_row(f"/{number}", row) for number, row in enumerate(found, 2)], points, classes, places)


def answers_in_geojson(
    document: object, points: Collection[int], classes: Sequence[ClassDef], places: Places | None = None
) -> list[Answer]:
    """The answers in a FeatureCollection, whose features have id, class and unusable among their properties.

    As for `answers_in_csv`. Geometries are not read.
    """
    features = document.get("features") if isinstance(document, Mapping) else None
    if not isinstance(features, list) or not all(isinstance(each, Mapping) for each in features):
        raise InputRefused(Fault("not_a_table", "The body is no FeatureCollection of GeoJSON.", _EXPORT))
    known = [each.get("properties") for each in features]
    properties = [each if isinstance(each, Mapping) else {} for each in known]
    _check_columns(sorted({str(name) for each in properties for name in each}), len(features))
    rows = [_row(f"/features/{place}", row) for place, row in enumerate(properties)]
    return _answers(rows, points, classes, places)


def _separator(text: str) -> str:
    first = text.partition("\n")[0]
    return max(_SEPARATORS, key=first.count)


def _check_columns(names: Sequence[str], rows: int) -> None:
    """Raise `InputRefused` for a table that cannot hold answers."""
    if "id" not in names or not {"class", "unusable"} & set(names):
        detail = f"Answers need the columns id and class; these are there: {first_few(names)}."
        raise InputRefused(Fault("missing_column", detail[:500], _EXPORT))
    if repeated := [name for name in COLUMNS if names.count(name) > 1]:
        raise InputRefused(Fault("repeated_column", f"The column {repeated[0]} stands there twice.", _EXPORT))
    if rows > MOST_POINTS:
        raise InputRefused(Fault("too_many_rows", f"There are {rows} rows; no sample has that many points.", _EXPORT))


def _row(place: str, cells: Mapping[str, Any]) -> _Row:
    id_, class_, unusable, row, col = (_cell(cells.get(name)) for name in (*COLUMNS, "row", "col"))
    return _Row(place, id_, class_, unusable, (row, col))


def _cell(value: object) -> str:
    """The text of a cell: "1" also for 1.0, as spreadsheets and GIS write whole numbers; "" for nothing."""
    if value is None:
        return ""
    text = str(value).strip()
    whole, point, decimals = text.partition(".")
    return whole if point and whole.isdecimal() and not decimals.strip("0") else text


def _answers(
    rows: Sequence[_Row], points: Collection[int], classes: Sequence[ClassDef], places: Places | None
) -> list[Answer]:
    values = _values(classes)
    filled = [row for row in rows if row.class_ or row.unusable]
    known = {(str(point), str(row), str(col)) for point, (row, col) in places.items()} if places else None
    refuse_any(_faults(filled, {str(point) for point in points}, known, values, classes))
    return [
        Answer(int(row.id), values[alike(row.class_)][0].value if row.class_ else None, row.unusable or None)
        for row in filled
    ]


def _values(classes: Sequence[ClassDef]) -> dict[str, list[ClassDef]]:
    """The classes that each text stands for, as their value or name."""
    found: dict[str, list[ClassDef]] = {}
    for item in classes:
        for text in {str(item.value), alike(item.name)}:
            found.setdefault(text, []).append(item)
    return found


def _faults(
    rows: Sequence[_Row],
    points: Collection[str],
    places: Collection[tuple[str, str, str]] | None,
    values: Mapping[str, Sequence[ClassDef]],
    classes: Sequence[ClassDef],
) -> Iterator[Fault]:
    """Everything that is wrong with rows that have an answer."""
    seen = set[str]()
    for row in rows:
        shown = repr(row.id[:40])
        if row.id not in points:
            hint = "Send the ids of the sample's points, which are whole numbers from 1 on."
            yield Fault("unknown_point", f"The sample has no point {shown}.", hint, row.place)
        elif places is not None and all(row.at) and (row.id, *row.at) not in places:
            detail = f"Point {shown} of the sample has another pixel than row {row.at[0][:20]}, col {row.at[1][:20]}."
            hint = (
                "The file is that of another sample, or its rows were mixed up. Send the file of this sample's points."
            )
            yield Fault("other_point", detail, hint, row.place)
        elif row.id in seen:
            yield Fault("repeated_point", f"Point {shown} stands there twice.", "Leave one of the rows out.", row.place)
        seen.add(row.id)
        if row.class_ and row.unusable:
            hint = "Leave one of the two empty: class, or the reason for which the point cannot be used."
            yield Fault("two_answers", f"Point {shown} has a class and is unusable.", hint, row.place)
        elif row.class_ and alike(row.class_) not in values:
            hint = f"Known: {first_few([item.name for item in classes])}; or their values."
            yield Fault("unknown_class", f"The map has no class {row.class_[:80]!r}.", hint, row.place)
        elif row.class_ and len(meant := values[alike(row.class_)]) > 1:
            one, other = meant[:2]
            detail = f"{row.class_[:80]!r} is class {one.value} ({one.name}) or class {other.value} ({other.name})."
            hint = "Write the value or the name that only one of them has."
            yield Fault("ambiguous_class", detail, hint, row.place)
        if not is_one_line(row.unusable) or len(row.unusable) > MOST_REASON:
            hint = f"Write up to {MOST_REASON} characters on one line."
            yield Fault(
                "invalid_text", f"The reason at point {shown} is too long, or no line of text.", hint, row.place
            )
