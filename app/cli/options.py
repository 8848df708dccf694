"""Options that several commands share, and functions that parse their text."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from app.client import Json

Config = Annotated[Path | None, typer.Option(help="JSON file with the config.", exists=True, dir_okay=False)]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set one value of the config, like net.width=16.")
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait for the end of the job.")]


def config(file: Path | None, changes: list[str] | None) -> Json:
    """The config in `file`, with the values in `changes` replaced: `net.width=16` sets {"net": {"width": 16}}."""
    document: Json = json.loads(file.read_text(encoding="utf-8")) if file else {}
    for change in changes or []:
        path, equals, text = change.partition("=")
        if not equals:
            raise typer.BadParameter(f"{change!r} is not KEY=VALUE", param_hint="--set")
        *sections, key = path.split(".")
        section = document
        for name in sections:
            section = section.setdefault(name, {})
        section[key] = value(text)
    return document


def value(text: str) -> Any:
    """The value of `text` as JSON, or `text` itself if it is not JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def classes(text: str | None) -> dict[str, int] | None:
    """Class numbers by name, from `sugarcane=1,*=0` or from a JSON object. None for None."""
    if text is None or text.startswith("{"):
        return None if text is None else json.loads(text)
    pairs = (pair.rpartition("=") for pair in text.split(","))
    try:
        return {name: int(number) for name, _, number in pairs}
    except ValueError as error:
        raise typer.BadParameter("write sugarcane=1,*=0", param_hint="--classes") from error


def class_list(text: str) -> list[Json]:
    """The classes `wheat=1,mustard=2` in the form that a dataset takes: objects with name and value."""
    return [{"name": name, "value": value} for name, value in (classes(text) or {}).items()]


def names(text: str) -> list[str]:
    """The names in `s1,s2` as a list."""
    return [name for name in text.split(",") if name]
