"""Sessions of commands that work on the database itself, in the scope of all tenants."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import TYPE_CHECKING

import typer

from app.cli.failures import Refused
from app.cli.texts import text

if TYPE_CHECKING:
    from datetime import timedelta

    from sqlalchemy.orm import Session


def reading() -> "AbstractContextManager[Session]":
    """A session on the database of the settings, in the scope of all tenants, that changes nothing."""
    return _session(write=False)


def writing() -> "AbstractContextManager[Session]":
    """A transaction on the database of the settings, in the scope of all tenants."""
    return _session(write=True)


@contextmanager
def _session(*, write: bool) -> "Iterator[Session]":
    from app.core import tenancy
    from app.core.db import Database
    from app.settings import Settings

    with (
        acting(),
        closing(Database(Settings().database)) as database,
        tenancy.acting_for(tenancy.ALL),
        database.write() if write else database.read() as session,
    ):
        yield session


@contextmanager
def acting() -> Iterator[None]:
    """Act as whoever has this command line. What is refused is told by what to do."""
    from app.access import audit as log
    from app.access.scopes import SCOPES
    from app.cli.service import check_schema
    from app.core.acting import Act
    from app.core.acting import acting as acting_for
    from app.core.errors import Problem
    from app.core.masking import masked
    from app.settings import Settings

    check_schema(Settings())
    log.watch()
    command = masked(shlex.join(["canemap", *sys.argv[1:]]))
    try:
        with acting_for(Act("command line", command, SCOPES)):
            yield
    except Problem as problem:
        hints = (fault.hint for fault in problem.faults)
        raise Refused(problem.code, " ".join([problem.detail, *hints])) from problem


def period(written: str, option: str) -> "timedelta":
    """The length of time that is written like 90d, 12h or 30m. option: Of the command, for which it was written."""
    from app.requests.access import period

    try:
        return period(written)
    except (KeyError, ValueError, IndexError, OverflowError) as error:
        raise typer.BadParameter(text("bad_period", text=written), param_hint=option) from error
