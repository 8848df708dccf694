"""Options that several commands share, and how their text becomes values."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from app.client import Json

Config = Annotated[Path | None, typer.Option(help="JSON file with the config.", exists=True, dir_okay=False)]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One config value, for instance net.width=16.")
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait for the end of the job.")]


def config(file: Path | None, changes: list[str] | None) -> Json:
    """The config of a file with single values changed: `net.width=16` is {"net": {"width": 16}}."""
    document: Json = json.loads(file.read_text(encoding="utf-8")) if file else {}
    for change in changes or []:
        path, equals, text = change.partition("=")
        if not equals:
            raise typer.BadParameter(f"{change!r} is not KEY=VALUE", param_hint="--set")
        *folders, key = path.split(".")
        place = document
        for folder in folders:
            place = place.setdefault(folder, {})
        place[key] = value(text)
    return document


def value(text: str) -> Any:
    """`text` as JSON if it is JSON, else as it stands."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def classes(text: str | None) -> dict[str, int] | None:
    """`sugarcane=1,*=0`, or the same as JSON."""
    if text is None or text.startswith("{"):
        return None if text is None else json.loads(text)
    pairs = (pair.rpartition("=") for pair in text.split(","))
    try:
        return {name: int(number) for name, _, number in pairs}
    except ValueError as error:
        raise typer.BadParameter("write sugarcane=1,*=0", param_hint="--classes") from error


def class_list(text: str) -> list[Json]:
    """`wheat=1,mustard=2` as a dataset wants its classes."""
    return [{"name": name, "value": value} for name, value in (classes(text) or {}).items()]


def names(text: str) -> list[str]:
    """`s1,s2` as a list."""
    return [name for name in text.split(",") if name]
