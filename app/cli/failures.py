"""What a command says when it cannot do its work: a sentence for people or a problem document, and an exit code."""

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import typer

from app.cli.hints import commands_in, in_terms_of_commands
from app.cli.language import current, told
from app.cli.output import Interrupted, wants_json
from app.cli.texts import text
from app.client import CanemapError, JobDismissed, JobFailed, Json, Unreachable

ABORTED, USAGE, REFUSED, FAILED, DISMISSED, INTERRUPTED = 1, 2, 3, 4, 5, 130
OWN = ("app", "ml", "worker", "migrations")
LISTS = {
    "scene": "scenes",
    "label set": "labels",
    "zone set": "zones list",
    "dataset": "datasets",
    "training": "trainings",
    "prediction": "predictions",
    "model": "models",
    "version": "models",
    "alias": "models",
    "job": "jobs",
    "schedule": "schedule list",
    "webhook": "webhooks list",
}
MISSING = re.compile(rf"There is no ({'|'.join(LISTS)}) '")
KEY_HINTS = {401: "needs_key", 403: "needs_scope"}
UsageError: Any = typer.BadParameter.__mro__[1]  # typer gives it no public name


class Refused(Exception):
    """The command cannot do its work here. problem: The stable name of the reason."""

    def __init__(self, problem: str, detail: str) -> None:
        super().__init__(detail)
        self.problem = problem


class Several(Exception):
    """The service refused several files."""

    def __init__(self, errors: Sequence[CanemapError]) -> None:
        super().__init__()
        self.errors = errors


def several(errors: Sequence[CanemapError]) -> Exception:
    """What to raise for the refusals of single files."""
    return errors[0] if len(errors) == 1 else Several(errors)


def run(command: Any) -> NoReturn:
    """Run the command and end the process. Exit codes: 0 success, 2 usage, 3 refused, 4 job failed, 5 dismissed."""
    try:
        code = command(prog_name="canemap", standalone_mode=not wants_json() and current() == "en")
        sys.exit(code if isinstance(code, int) else 0)
    except UsageError as error:
        stop({"type": "usage", "detail": error.format_message()}, USAGE)
    except JobDismissed as error:
        stop(_document(error), DISMISSED)
    except JobFailed as error:
        stop(_document(error), FAILED)
    except CanemapError as error:
        stop(_document(error), REFUSED)
    except Several as error:
        problems = [_document(each) for each in error.errors]
        names = ", ".join(each.subject for each in error.errors)
        stop({"type": "several", "detail": text("several", names=names), "problems": problems}, REFUSED)
    except Interrupted as error:
        stop({"type": "interrupted", "detail": str(error)}, INTERRUPTED)
    except typer.Abort:
        stop({"type": "aborted", "detail": text("aborted")}, ABORTED)
    except Exception as error:
        if (found := refusal(error)) is None:
            raise
        stop({"type": found.problem, "detail": str(found)}, REFUSED)


def stop(problem: Json, code: int) -> NoReturn:
    """Print a problem to standard error, as one line of JSON or as sentences, and exit with `code`."""
    if wants_json():
        print(json.dumps(problem | {"exit_code": code}, ensure_ascii=False), file=sys.stderr)
    else:
        for line in _lines(problem):
            print(line, file=sys.stderr)
    sys.exit(code)


def refusal(error: Exception) -> Refused | None:
    """What people are told of an error that is no fault of the program; None for one that is."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, Unreachable):
        return Refused("unreachable", text("unreachable", url=_url(error), reason=str(error) or type(error).__name__))
    if isinstance(error, ModuleNotFoundError):
        return _missing(error.name or "")
    if isinstance(error, OSError) and error.filename:
        return _unusable(str(error.filename), str(error.strerror))
    return _of_packages(error)


def _unusable(path: str, reason: str) -> Refused:
    folder = _data_folder()
    if Path(path).absolute().is_relative_to(folder) or folder.is_relative_to(Path(path).absolute()):
        return Refused("data-folder", text("no_data_folder", folder=folder, path=path, reason=reason))
    return Refused("file", text("no_file", path=path, reason=reason))


def _data_folder() -> Path:
    return Path(os.environ.get("CANEMAP_DATA_DIR") or "canemap-data").absolute()


def _of_packages(error: Exception) -> Refused | None:
    """The refusal for errors of modules that the client alone lacks: of settings, the store and the database."""
    module = type(error).__module__.partition(".")[0]
    if module == "pydantic_core" and getattr(error, "title", "") == "Settings":
        lines = [text("bad_setting", variable=name, reason=reason) for name, reason in _settings(error)]
        return Refused("settings", "\n".join([text("bad_settings"), *lines]))
    if module == "pydantic_settings":  # a folder of secrets that is not there
        return Refused("settings", str(error))
    if type(error).__name__ == "BadStoreUrl":
        return Refused("settings", text("bad_store", reason=error))
    if module == "sqlalchemy":
        return _no_database(str(getattr(error, "orig", None) or error).splitlines()[0], "sqlite3" in str(error))
    return None


def _no_database(reason: str, is_a_file: bool) -> Refused:
    sentence = text("no_sqlite", folder=_data_folder(), reason=reason) if is_a_file else ""
    return Refused("database", sentence or text("no_database", reason=reason))


def _settings(error: Any) -> Iterator[tuple[str, str]]:
    for item in error.errors():
        name = "_".join(str(part) for part in item["loc"]).upper()
        yield f"CANEMAP_{name}", item["msg"].removeprefix("Value error, ").rstrip(".")


def _missing(package: str) -> Refused | None:
    package = package.partition(".")[0]
    if package in OWN or package in sys.stdlib_module_names:
        return None
    return Refused("missing-package", text("no_package", command=_command(), package=package))


def _command() -> str:
    return " ".join(["canemap", *(word for word in sys.argv[1:2] if not word.startswith("-"))])


def _url(error: Unreachable) -> str:
    try:
        return f"{error.request.url.scheme}://{error.request.url.netloc.decode()}"
    except RuntimeError:  # it was raised before there was a request
        return "CANEMAP_URL"


def _document(error: CanemapError) -> Json:
    """The problem of the service, with hints that speak of options where the service speaks of requests."""
    document: Json = {
        "type": error.type,
        "status": error.status,
        "detail": told(commands_in(told(error.detail)), *_hints(error)),
    }
    if error.subject:
        document["file"] = error.subject
    if error.errors:
        document["errors"] = [in_terms_of_commands(fault) for fault in error.errors]
    return document


def _hints(error: CanemapError) -> Iterator[str]:
    """What to do, where the service leaves it open because it does not know that a command asks."""
    if error.status in KEY_HINTS:
        yield text(KEY_HINTS[error.status])
    if (missing := MISSING.match(error.detail)) and error.type == "not-found":
        yield text("list_them", command=LISTS[missing[1]])


def _lines(problem: Json) -> Iterator[str]:
    if "problems" in problem:
        for each in problem["problems"]:
            yield from _lines(each)
        return
    subject = problem.get("file", "")
    if not problem.get("errors") or problem.get("status") == 409:  # these name other resources, not places in a request
        yield f"{subject}: {told(problem['detail'])}".removeprefix(": ")
    for fault in problem.get("errors", []):
        where = ", ".join(filter(None, (subject, fault["pointer"])))
        yield f"{where}: {told(fault['detail'], fault['hint'])}".removeprefix(": ")
