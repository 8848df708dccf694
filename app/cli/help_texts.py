"""The help of all commands in the language of the terminal."""

from collections.abc import Iterator, Sequence
from functools import partialmethod
from typing import Any

import typer

from app.cli.language import current, told

USAGE = "Usage: "
METAVARS = ("options_metavar", "subcommand_metavar")
PANELS = ("ARGUMENTS_PANEL_TITLE", "OPTIONS_PANEL_TITLE", "COMMANDS_PANEL_TITLE", "REQUIRED_LONG_STRING")


def in_language(command: Any) -> Any:
    """`command`, whose help and that of all commands below it is in the language of the terminal."""
    if current() != "en":
        from typer import rich_utils  # imported only when it is used, because it brings a reader of Markdown

        for name in PANELS:
            setattr(rich_utils, name, told(getattr(rich_utils, name)))
        rich_utils.DEFAULT_STRING = told(rich_utils.DEFAULT_STRING)
        setattr(rich_utils, "Columns", _folded)  # noqa: B010 - mypy knows no such name of the module
        formatter: Any = typer.Context.formatter_class
        formatter.write_usage = partialmethod(formatter.write_usage, prefix=told(USAGE))
        for part in parts(command):
            part.help = "\n\n".join(map(told, paragraphs(part.help)))
            for name in ("rich_help_panel", *METAVARS):
                if found := getattr(part, name, None):
                    setattr(part, name, told(found))
    return command


def parts(command: Any) -> Iterator[Any]:
    """`command`, its options and all commands below it: everything with a help text."""
    options = [*command.params, command.get_help_option(typer.Context(command))]
    yield from (part for part in (command, *options) if getattr(part, "help", None))
    for below in getattr(command, "commands", {}).values():
        yield from parts(below)


def _folded(items: Sequence[Any]) -> Any:
    """The help of an option, folded where its line ends: Chinese has no spaces, and was cut there."""
    from rich.columns import Columns

    for item in items:
        item.overflow = "fold"
    return Columns(items)


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a help text, each on one line."""
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
