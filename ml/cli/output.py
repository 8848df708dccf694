"""What the commands print: progress, tables, notes, figures, and faults of an input."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from ml.estimation.count_table import CountTable
from ml.estimation.report import accuracy_lines, area_lines
from ml.estimation.stratified import Stratified
from ml.evaluation.metrics import Metrics
from ml.faults import InputRefused
from ml.figures import Format
from ml.figures.catalogue import Figures
from ml.figures.style import render
from ml.progress import Progress, Watch

WIDTH = 500  # of tables at most: a terminal may break their lines, and no digit is left out
EXIT_REFUSED, EXIT_IMPOSSIBLE = 3, 4  # the command `canemap` has the same exit codes
console = Console()


@contextmanager
def refusals() -> Iterator[None]:
    """Print every fault of an input with its remedy instead of a traceback, and exit with `EXIT_REFUSED`."""
    try:
        yield
    except InputRefused as refused:
        for fault in refused.faults:
            console.print(f"[bold red]{fault.code}[/] {escape(fault.detail)}\n  {escape(fault.hint)}", soft_wrap=True)
        raise typer.Exit(EXIT_REFUSED) from refused
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            console.print(f"[bold red]{'.'.join(map(str, error['loc']))}[/] {error['msg']}", soft_wrap=True)
        raise typer.Exit(EXIT_REFUSED) from invalid


@contextmanager
def progress_line() -> Iterator[Watch]:
    """A watch that shows a bar for each stage, and prints the metrics of each epoch and each note as lines above it."""
    columns = (TextColumn("{task.description:>9}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console) as bar:
        tasks: dict[str, TaskID] = {}

        def watch(progress: Progress) -> None:
            if progress.stage not in tasks:
                tasks[progress.stage] = bar.add_task(progress.stage)
            bar.update(tasks[progress.stage], completed=progress.done, total=progress.total)
            if progress.values:
                bar.console.print("  ".join(f"{name} {shown(value)}" for name, value in progress.values.items()))
            if progress.note:
                bar.console.print(progress.note, highlight=False)

        yield watch


def draw_all(figures: Figures, out: Path, format_: Format) -> None:
    """Draw each figure into a file in the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for name, draw in figures.items():
        path = out / f"{name}.{format_}"
        path.write_bytes(render(draw(lang="en"), format_))
        console.print(str(path), soft_wrap=True)


def print_metrics(metrics: dict[str, Metrics | None]) -> None:
    """Print a table of metrics with one row for each split."""
    names = ("accuracy", "iou", "kappa", "precision", "recall", "f1")
    table = Table("split", *names)
    for split, found in metrics.items():
        if found is not None:
            table.add_row(split, *(shown(getattr(found, name)) for name in names))
    console.print(table)


def print_estimates(table: CountTable, found: Stratified, unit: str | None) -> None:
    """Print a table of areas and one of accuracies, and what is to be known about them. unit: That of the areas."""
    areas = Table(
        "class", "points", "mapped", "area", "se", "95 % from", "to", title=f"areas in {unit}" if unit else None
    )
    accuracies = Table("accuracy", "value", "se", "95 % from", "to")
    for lines, printed in ((area_lines(table, found), areas), (accuracy_lines(table, found), accuracies)):
        for line in lines:
            printed.add_row(*map(escape, line))
        console.print(printed, width=WIDTH)
    whys = {one.why for one in (*found.areas, *found.users, *found.producers) if one.why}
    for text in (*sorted(whys), *(f"{note.detail} {note.hint}" for note in (*table.notes, *found.notes))):
        console.print(escape(text), style="yellow", highlight=False, soft_wrap=True)


def shown(value: float | int | None) -> str:
    """The number with four significant digits, or a dash if there is none."""
    return "-" if value is None else f"{value:.4g}"
