"""The help of all commands in the language of the terminal."""

from collections.abc import Iterator
from typing import Any

import typer
from typer import rich_utils

from app.cli.language import current, told

PANELS = ("ARGUMENTS_PANEL_TITLE", "OPTIONS_PANEL_TITLE", "COMMANDS_PANEL_TITLE", "REQUIRED_LONG_STRING")


def in_language(command: Any) -> Any:
    """`command`, whose help and that of all commands below it is in the language of the terminal."""
    if current() != "en":
        for name in PANELS:
            setattr(rich_utils, name, told(getattr(rich_utils, name)))
        rich_utils.DEFAULT_STRING = told(rich_utils.DEFAULT_STRING)
        for part in parts(command):
            part.help = "\n\n".join(map(told, paragraphs(part.help)))
            if getattr(part, "rich_help_panel", None):
                part.rich_help_panel = told(part.rich_help_panel)
    return command


def parts(command: Any) -> Iterator[Any]:
    """`command`, its options and all commands below it: everything with a help text."""
    options = [*command.params, command.get_help_option(typer.Context(command))]
    yield from (part for part in (command, *options) if getattr(part, "help", None))
    for below in getattr(command, "commands", {}).values():
        yield from parts(below)


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a help text, each on one line."""
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
