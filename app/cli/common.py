"""The options that every command takes: --json, --data and --lang."""

import os
from typing import Any, Literal

import typer
from typer.core import TyperGroup, TyperOption

LANGUAGES: tuple[Literal["en", "zh"], ...] = ("en", "zh")


def with_common_options(command: Any) -> Any:
    """`command` with the common options added to it and to all commands below it, unless they have their own."""
    for below in command.commands.values() if isinstance(command, TyperGroup) else ():
        with_common_options(below)
    known = {name for parameter in command.params for name in parameter.opts}
    command.params += [option for option in _options() if not known & set(option.opts)]
    return command


def _options() -> list[TyperOption]:
    shared: dict[str, Any] = {"expose_value": False, "rich_help_panel": "Options of every command"}
    data = "Folder of the data, for commands that touch it themselves; sets CANEMAP_DATA_DIR."
    language = "Language of texts: en or zh; by default that of the locale."
    return [
        TyperOption(param_decls=["--json"], is_flag=True, help="Print JSON, errors too.", **shared),
        TyperOption(param_decls=["--data"], metavar="FOLDER", help=data, callback=_use_data, **shared),
        TyperOption(param_decls=["--lang"], metavar="LANG", help=language, callback=_check_language, **shared),
    ]


def _use_data(_context: object, _option: object, folder: str | None) -> None:
    if folder is not None:
        os.environ["CANEMAP_DATA_DIR"] = folder  # read by this process and by its child processes


def _check_language(_context: object, _option: object, language: str | None) -> None:
    if language is not None and language not in LANGUAGES:
        raise typer.BadParameter(f"{language!r} is not one of {', '.join(LANGUAGES)}.", param_hint="--lang")
