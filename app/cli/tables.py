"""Tables of which nothing is ever cut: in columns, as records, or as tab-separated values for other programs."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from app.cli.language import current, told
from app.language.catalogue import heading

Row = tuple[object, ...]
SCORES = {"accuracy", "iou", "kappa", "precision", "recall", "f1"}  # shown with four decimals, which is 0.01 %
DECIMALS = 2  # of all other numbers: 0.01 ha are 100 m2
SEPARATED = 10_000  # whole numbers from here on have a comma every three digits
SENTENCES = {"status", "message", "why"}  # columns whose texts the service made; others hold names
TIMES = {"created", "due"}  # RFC 3339 in UTC; on a terminal in the time zone of the machine
OPTIONAL = {"title"}  # columns that a terminal shows only if a row has something there
RECENT = timedelta(days=180)  # of an older time the year is shown instead of the time of day, as `ls` does
LEAST_TEXT = 16  # a column of sentences is made no narrower
SPACE = 2  # between two columns


def draw(console: Console, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table with a heading for each column.

    On a terminal it is drawn, sentences are folded, and one row, or rows that do not fit, are shown as records with a
    line for each column. Elsewhere it is printed as tab-separated values.
    """
    listed = [tuple(row) for row in rows]
    if not console.is_terminal:
        _print(console, _separated(columns, listed))
        return
    columns, listed = _told_of(columns, listed)
    cells = [[shown(column, value) for column, value in zip(columns, row, strict=True)] for row in listed]
    headings = columns if current() == "en" else list(map(heading, columns))
    widths = [max(map(cell_len, texts)) for texts in zip(headings, *cells, strict=True)]
    least = [min(width, _least(texts)) for width, texts in zip(widths, zip(headings, *cells, strict=True), strict=True)]
    if len(cells) == 1 or sum(least) + SPACE * (len(least) - 1) > console.width:
        _print(console, _records(headings, cells))
        return
    drawn = Table(box=None, pad_edge=False, padding=(0, SPACE, 0, 0), header_style="bold")
    for title, width in zip(headings, least, strict=True):
        drawn.add_column(title, min_width=width, overflow="fold")
    for row in cells:
        drawn.add_row(*row)
    console.print(drawn, markup=False, highlight=False)


def _told_of(columns: Sequence[str], rows: list[Row]) -> tuple[list[str], list[Row]]:
    """The columns and rows without the optional columns in which nothing stands."""
    empty = [column in OPTIONAL and not any(row[place] for row in rows) for place, column in enumerate(columns)]
    kept = [place for place, is_empty in enumerate(empty) if not is_empty]
    return [columns[place] for place in kept], [tuple(row[place] for place in kept) for row in rows]


def shown(column: str, value: object) -> str:
    """The text of a value for people: hectares with two decimals, scores with four, "-" for None."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.{decimals(column)}f}"
    if column in TIMES:
        return _local(str(value))
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= SEPARATED:
        return f"{value:,}"
    return told(plain(column, value)) if column in SENTENCES else plain(column, value)


def _local(moment: str) -> str:
    """A time in the time zone of this machine: 03-01 10:00, or 2024-03-01 if that was long ago."""
    time = datetime.fromisoformat(moment).astimezone()
    return f"{time:%m-%d %H:%M}" if abs(datetime.now(UTC) - time) < RECENT else f"{time:%Y-%m-%d}"


def plain(column: str, value: object) -> str:
    """The text of a value for programs: numbers without commas, nothing for None, no tabs and no line breaks."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.{decimals(column)}f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(plain(column, item) for item in value)
    return " ".join(str(value).split())


def decimals(column: str) -> int:
    """How many decimals the numbers of a column are shown with."""
    return 4 if column in SCORES else DECIMALS


def _least(texts: Sequence[str]) -> int:
    """The narrowest width of a column: that of its longest word, and not too narrow for sentences."""
    return max(LEAST_TEXT, *(cell_len(word) for text in texts for word in text.split() or [""]))


def _separated(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterable[str]:
    yield "\t".join(columns)
    for row in rows:
        yield "\t".join(plain(column, value) for column, value in zip(columns, row, strict=True))


def _records(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    width = max(map(cell_len, columns))
    for number, row in enumerate(rows):
        if number:
            yield ""
        for column, value in zip(columns, row, strict=True):
            yield f"{column}{' ' * (width - cell_len(column))}  {value}"


def _print(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        print(line, file=console.file)  # rich would expand tabs
