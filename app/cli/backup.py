"""`canemap files save` and `canemap files restore`: the files of a store as a folder, and back."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from app.cli import output

Folder = Annotated[Path, typer.Argument(help="May hold an earlier copy: what is there already stays.")]
files = typer.Typer(help="Back up and restore the files of the store; the database has tools of its own.")


@files.command()
def save(folder: Folder) -> None:
    """Copy every file of the store into a folder. Exit code 1: some were damaged, and are named."""
    from app.services import Services
    from app.settings import Settings
    from app.storage import backup

    folder.mkdir(parents=True, exist_ok=True)
    _tell(backup.save(Services.open(Settings()).store, folder), "saved")


@files.command()
def restore(folder: Annotated[Path, typer.Argument(exists=True, file_okay=False)]) -> None:
    """Put every file of a folder into the store. Exit code 1: some were damaged, and are named."""
    from app.services import Services
    from app.settings import Settings
    from app.storage import backup

    _tell(backup.restore(folder, Services.open(Settings()).store), "restored")


def _tell(done: Iterable[tuple[str, str]], what: str) -> None:
    results = list(done)
    wrong = [fault for _, fault in results if fault]
    for fault in wrong:
        output.errors.print(fault, markup=False, highlight=False)
    output.show({}, False, [f"{len(results) - len(wrong)} files {what}."])
    if wrong:
        raise typer.Exit(1)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(files, name="files")
