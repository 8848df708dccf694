"""Times contenders in turns, so that a busy machine slows all of them alike, and prints tables."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table


def medians(contenders: Mapping[str, Callable[[], object]], *, rounds: int, warm_up: int = 1) -> dict[str, float]:
    """Median seconds of each contender by name. All run once in each round; the first `warm_up` rounds do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(warm_up + rounds):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            if number >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in seconds.items()}


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; numbers are right-aligned, floats get three significant digits."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*(_text(cell) for cell in row))
    Console(width=140).print(table)


def _text(cell: object) -> str:
    return f"{cell:#.3g}".rstrip(".") if isinstance(cell, float) else str(cell)
