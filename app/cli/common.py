"""The options that every command takes: --json, --data and --lang."""

import os
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

LANGUAGES: tuple[Literal["en", "zh"], ...] = ("en", "zh")
PANEL = "Options of every command"


def with_common_options(command: Any) -> Any:
    """`command` with the common options added to it and to all commands below it, unless they have their own."""
    for below in command.commands.values() if isinstance(command, TyperGroup) else ():
        with_common_options(below)
    known = {name for parameter in command.params for name in parameter.opts}
    command.params += [option for option in _options() if not known & set(option.opts)]
    return command


def _options() -> list[Any]:
    """The common options, as typer makes them of a command. No command gets their values."""
    declared = typer.Typer(add_completion=False)
    declared.command()(_declared)
    options = typer.main.get_command(declared).params
    for option in options:
        option.expose_value = False
    return options


def _use_data(folder: str | None) -> None:
    if folder is not None:
        os.environ["CANEMAP_DATA_DIR"] = folder  # read by this process and by its child processes


def _check_language(language: str | None) -> None:
    if language is not None and language not in LANGUAGES:
        raise typer.BadParameter(f"{language!r} is not one of {', '.join(LANGUAGES)}.", param_hint="--lang")


def _declared(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, errors too.", rich_help_panel=PANEL)] = False,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="FOLDER",
            help="Folder of the data, for commands that touch it themselves; sets CANEMAP_DATA_DIR.",
            callback=_use_data,
            rich_help_panel=PANEL,
        ),
    ] = None,
    lang: Annotated[
        str | None,
        typer.Option(
            "--lang",
            metavar="LANG",
            help="Language of texts: en or zh; by default that of the locale.",
            callback=_check_language,
            rich_help_panel=PANEL,
        ),
    ] = None,
) -> None:
    """Declare the common options in the way of typer."""
