"""Options that several commands share, and functions that parse their text."""

import json
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from app.cli.texts import text
from app.client import Json

Number = TypeVar("Number", int, float)
Config = Annotated[Path | None, typer.Option(help="JSON file with the config.", exists=True, dir_okay=False)]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set one value of the config, like net.width=16.")
]
Title = Annotated[str | None, typer.Option(help="Name for people, in any script.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait for the end of the job.")]


def config(file: Path | None, changes: list[str] | None, option: str = "--set") -> Json:
    """The config in `file`, with the values in `changes` replaced: `net.width=16` sets {"net": {"width": 16}}.

    option: The option that `changes` come from.
    """
    document = _config_in(file) if file else {}
    for change in changes or []:
        path, equals, given = change.partition("=")
        if not equals:
            raise typer.BadParameter(text("no_pair", given=change), param_hint=option)
        *sections, key = path.split(".")
        section = document
        for name in sections:
            section = section.setdefault(name, {})
            if not isinstance(section, dict):
                raise typer.BadParameter(text("no_section", given=change, name=name), param_hint=option)
        section[key] = value(given)
    return document


def _config_in(file: Path) -> Json:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise typer.BadParameter(text("no_json", file=file, reason=error), param_hint="--config") from error
    if not isinstance(document, dict):
        raise typer.BadParameter(text("no_json", file=file, reason="it is no object {...}"), param_hint="--config")
    return document


def value(given: str) -> Any:
    """The value of `given` as JSON, or `given` itself if it is not JSON."""
    try:
        return json.loads(given)
    except ValueError:
        return given


def classes(given: str | None) -> dict[str, int] | None:
    """Class numbers by name, from `sugarcane=1,*=0` or from a JSON object. None for None."""
    if given is None:
        return None
    try:
        pairs = json.loads(given).items() if given.startswith("{") else map(_pair, given.split(","))
        return {name: int(number) for name, number in pairs}
    except (ValueError, TypeError, AttributeError) as error:
        raise typer.BadParameter(text("no_classes"), param_hint="--classes") from error


def _pair(given: str) -> tuple[str, str]:
    name, _, number = given.rpartition("=")
    return name, number


def class_list(given: str) -> list[Json]:
    """The classes `wheat=1,mustard=2` in the form that a dataset takes: objects with name and value."""
    return [{"name": name, "value": value} for name, value in (classes(given) or {}).items()]


def names(given: str) -> list[str]:
    """The names in `s1,s2` as a list."""
    return [name.strip() for name in given.split(",") if name.strip()]


def numbers(given: str, kind: type[Number], option: str, example: str) -> list[Number]:
    """The numbers in `0,1,2` as a list."""
    try:
        return [kind(number) for number in names(given)]
    except ValueError as error:
        detail = text("no_numbers", given=given, example=example)
        raise typer.BadParameter(detail, param_hint=option) from error
