"""The output of commands: tables and progress for people, JSON for programs."""

import json
import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app.cli import tables
from app.cli.hints import in_terms_of_commands
from app.cli.language import arguments, told
from app.cli.texts import duration, text
from app.client import FINAL, Client, Json, Show, Work, log

console = Console()
errors = Console(stderr=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Interrupted(Exception):
    """Ctrl-C while a command waited for a job, which goes on."""

    def __init__(self, job: str) -> None:
        super().__init__(text("goes_on", job=job))


def wants_json() -> bool:
    """Whether the command was called with --json. Errors are JSON then, also those of its usage."""
    return "--json" in arguments()


def show(document: Any, as_json: bool, lines: Iterable[str] = ()) -> None:
    """Print `document` as JSON if `as_json`, else print `lines`."""
    if as_json:
        print(json.dumps(document, ensure_ascii=False, indent=2))
        return
    for line in lines:
        print(told(line))


def say(line: str) -> None:
    """Print a line for people to standard error, or nothing if the command was called with --json."""
    if not wants_json():
        print(told(line), file=sys.stderr)


class _Pauses(logging.Handler):
    """Tells people when the client waits because the service asks for it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say why, and for how long."""
        detail, seconds = record.args if isinstance(record.args, tuple) else (record.getMessage(), 0)
        say(text("asks_to_wait", detail=detail, seconds=seconds))


def tell_of_pauses() -> None:
    """Say it when the client waits because the service asks for it."""
    log.addHandler(_Pauses())
    log.setLevel(logging.INFO)


def warn(line: str) -> None:
    """Print a warning to standard error: a line for people, or with --json a line of JSON."""
    if wants_json():
        print(json.dumps({"type": "warning", "detail": line}, ensure_ascii=False), file=sys.stderr)
    else:
        say(line)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table with a heading for each column, as `app.cli.tables.draw` does."""
    tables.draw(console, columns, rows)


def print_csv(tables: Sequence[str]) -> None:
    """Print tables with the same columns as one, with the mark by which spreadsheets know UTF-8."""
    lines = [table.removeprefix("\ufeff").splitlines(keepends=True) for table in tables]
    rows = [row for table in lines for row in table[1:]]
    sys.stdout.buffer.write("".join(["\ufeff", lines[0][0], *rows]).encode())


def notes(found: Iterable[Json]) -> None:
    """Print warnings and notes to standard error, a line each: code, detail and hint. A table in a pipe stays one."""
    for note in found:
        warn(_note_line(note))


def _note_line(note: Json) -> str:
    said = in_terms_of_commands(note)
    return f"{said['code']}: {told(said['detail'], said['hint'])}"


@contextmanager
def waiting(line: str) -> Iterator[None]:
    """Show on a terminal that the command waits; the line disappears at the end of the block."""
    if wants_json() or not errors.is_terminal:
        yield
        return
    with errors.status(told(line)):
        yield


@contextmanager
def progress(as_json: bool, about: str = "") -> Iterator[Show]:
    """A function that shows the progress of a job, on standard error.

    It draws a bar on a terminal, and prints lines elsewhere. With `as_json` it shows nothing.

    about: What the job works on, in words.
    """
    if as_json:
        yield lambda job: None
        return
    if not errors.is_terminal:
        yield _Lines(about).show
        return
    left = TextColumn("{task.fields[left]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), left)
    with Progress(*columns, console=errors) as bars:
        bar = bars.add_task(told("waiting"), total=None, left="")
        yield lambda job: bars.update(
            bar,
            description=" ".join(filter(None, (told(job["processID"]), about, told(job["stage"] or job["status"])))),
            completed=job["total"] if job["status"] == "successful" else job["done"],
            total=job["total"] or None,
            left=_left(job),
        )


def finished(work: Work, no_wait: bool, as_json: bool) -> bool:
    """Wait for the end of `work` unless `no_wait`, and print its id or its document; returns whether it has ended.

    Raises `Interrupted` at Ctrl-C.
    """
    if not as_json:
        show(None, False, [work.id])
        sys.stdout.flush()
    if not no_wait:
        wait_for(work, as_json)
    if as_json:
        show(work.document, as_json)
    return not no_wait


def wait_for(work: Work, as_json: bool) -> None:
    """Wait for the end of `work` and show its progress. Raises `Interrupted` at Ctrl-C."""
    try:
        with progress(as_json, _about(work.document)) as drawn:
            work.wait(progress=drawn)
    except KeyboardInterrupt:
        raise Interrupted(work.id) from None


def follow(client: Client, job: str, as_json: bool) -> Json:
    """Wait for the end of a job, show its progress, and return it. Raises `Interrupted` at Ctrl-C."""
    try:
        with progress(as_json) as drawn:
            return client.wait(job, progress=drawn)
    except KeyboardInterrupt:
        raise Interrupted(job) from None


def _about(document: Json) -> str:
    """What a job works on: the model of a training, the scene and the model of a prediction."""
    properties = document.get("properties", {})
    if model := properties.get("model"):
        return f"{properties['scene']} by {model['name']}:{model['version']}"
    return str(document.get("register_as") or "")


def _left(job: Json) -> str:
    return told(text("eta", time=duration(job["eta_s"]))) if job["eta_s"] and job["status"] not in FINAL else ""


class _Lines:
    """Progress without a terminal: a line for each change of status or stage, and for each tenth of a stage."""

    def __init__(self, about: str) -> None:
        self._about = about
        self._started = time.monotonic()
        self._last: tuple[str, str, int] | None = None

    def show(self, job: Json) -> None:
        tenth = 10 * job["done"] // max(job["total"], 1)
        now = (job["status"], job["stage"], 0 if job["status"] in FINAL else tenth)
        if now != self._last:
            self._last = now
            line = f"{told(job['processID'])} {told(job['status'])} {told(job['stage'])} {job['done']}/{job['total']}"
            times = (self._about, duration(time.monotonic() - self._started), _left(job))
            print(", ".join(filter(None, (line, *times))), file=sys.stderr)
