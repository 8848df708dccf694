"""Refuses to work on a data folder that is not there: a command in the wrong folder would find nothing, and say so."""

from typing import TYPE_CHECKING

from app.cli.failures import Refused
from app.cli.texts import text

if TYPE_CHECKING:
    from app.settings import Settings


def check_folder(settings: "Settings") -> None:
    """Refuse a data folder without a database, unless the database and the store are elsewhere. Nothing is made."""
    folder = settings.data_dir.absolute()
    if settings.database_url:
        return
    if not folder.is_dir():
        raise Refused("no-data-folder", text("no_folder", folder=folder))
    if not (folder / "canemap.db").is_file():
        raise Refused("no-data-folder", text("empty_folder", folder=folder))
