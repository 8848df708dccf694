"""The output of commands: tables and progress bars for people, JSON for programs."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from app.client import FINAL, Json, Show, Work

console = Console()
errors = Console(stderr=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def show(document: Any, as_json: bool, lines: Iterable[str] = ()) -> None:
    """Print `document` as JSON if `as_json`, else print `lines`."""
    if as_json:
        print(json.dumps(document, ensure_ascii=False, indent=2))
        return
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table with a heading for each column."""
    drawn = Table(*columns)
    for row in rows:
        drawn.add_row(*map(number, row))
    console.print(drawn)


def notes(found: Iterable[Json]) -> None:
    """Print warnings and notes, a line each: code, detail and hint."""
    show(None, False, (" ".join(filter(None, (f"{it['code']}:", it["detail"], it.get("hint")))) for it in found))


def number(value: object) -> str:
    """The text of a value: floats with four decimals, "-" for None."""
    if value is None:
        return "-"
    return f"{value:,.4f}" if isinstance(value, float) else str(value)


@contextmanager
def progress(as_json: bool) -> Iterator[Show]:
    """A function that shows the progress of a job, on standard error.

    It draws a bar on a terminal, and prints lines elsewhere. With `as_json` it shows nothing.
    """
    if as_json:
        yield lambda job: None
        return
    if not errors.is_terminal:
        yield _Lines().show
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors) as bars:
        bar = bars.add_task("waiting", total=None)
        yield lambda job: bars.update(
            bar,
            description=f"{job['processID']} {job['stage'] or job['status']}",
            completed=job["total"] if job["status"] == "successful" else job["done"],
            total=job["total"] or None,
        )


def finished(work: Work, no_wait: bool, as_json: bool) -> bool:
    """Wait for the end of `work` unless `no_wait`, and print its id or its document; returns whether it has ended."""
    if not as_json:
        show(None, False, [work.id])
    if not no_wait:
        with progress(as_json) as drawn:
            work.wait(progress=drawn)
    if as_json:
        show(work.document, as_json)
    return not no_wait


class _Lines:
    """Progress without a terminal: a line for each change of status or stage, and for each tenth of a stage."""

    def __init__(self) -> None:
        self._last: tuple[str, str, int] | None = None

    def show(self, job: Json) -> None:
        tenth = 10 * job["done"] // max(job["total"], 1)
        now = (job["status"], job["stage"], 0 if job["status"] in FINAL else tenth)
        if now != self._last:
            self._last = now
            line = f"{job['processID']} {job['status']} {job['stage']} {job['done']}/{job['total']}"
            errors.print(line, markup=False, highlight=False)
