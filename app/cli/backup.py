"""`canemap files save` and `canemap files restore`: copy the files of a store into a folder, and back."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from app.cli import output

Folder = Annotated[Path, typer.Argument(help="It may have an earlier copy: files that are already there stay.")]
files = typer.Typer(help="Back up and restore the files of the store. Back up the database with its own tools.")


@files.command()
def save(folder: Folder) -> None:
    """Copy every file of the store into a folder. With exit code 1 some files were damaged, and are listed."""
    from app.services import Services
    from app.settings import Settings
    from app.storage import backup

    folder.mkdir(parents=True, exist_ok=True)
    _report(backup.save(Services.open(Settings()).store, folder), "saved")


@files.command()
def restore(folder: Annotated[Path, typer.Argument(exists=True, file_okay=False)]) -> None:
    """Put every file of a folder into the store. With exit code 1 some files were damaged, and are listed."""
    from app.services import Services
    from app.settings import Settings
    from app.storage import backup

    _report(backup.restore(folder, Services.open(Settings()).store), "restored")


def _report(done: Iterable[tuple[str, str]], what: str) -> None:
    results = list(done)
    wrong = [fault for _, fault in results if fault]
    for fault in wrong:
        output.errors.print(fault, markup=False, highlight=False)
    output.show({}, False, [f"{len(results) - len(wrong)} files {what}."])
    if wrong:
        raise typer.Exit(1)


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    app.add_typer(files, name="files")
