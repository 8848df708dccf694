"""`canemap files ...`: back up and restore the files of the store, check them, find those that nothing names."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli import output
from app.cli.output import AsJson

if TYPE_CHECKING:
    from app.services import Services

Folder = Annotated[Path, typer.Argument(help="It may have an earlier copy: files that are already there stay.")]
files = typer.Typer(help="Back up, restore and check the files of the store. Back up the database with its own tools.")


@files.command()
def save(folder: Folder) -> None:
    """Copy every file of the store into a folder. With exit code 1 some files were damaged, and are listed."""
    from app.storage import backup

    services = _existing()
    folder.mkdir(parents=True, exist_ok=True)
    _report(backup.save(services.store, folder), f"saved from {services.store.url} to {folder}")


@files.command()
def restore(folder: Annotated[Path, typer.Argument(exists=True, file_okay=False)]) -> None:
    """Put every file of a folder into the store. With exit code 1 some files were damaged, and are listed."""
    from app.services import Services
    from app.settings import Settings
    from app.storage import backup

    if not any(path.is_file() for path in folder.rglob("*")):
        raise typer.BadParameter(f"{folder.resolve()} has no files: name a folder of `canemap files save`")
    services = Services.open(Settings())
    _report(backup.restore(folder, services.store), f"restored from {folder} to {services.store.url}")


@files.command()
def check() -> None:
    """Read every file that the database names. With exit code 1 some are damaged or missing, and are listed."""
    from app.upkeep import scrubbing

    services = _existing()
    faults = ((key, f"{key}: {fault}" if fault else "") for key, fault in scrubbing.check_all(services))
    _report(faults, f"of {services.store.url} are intact")


@files.command()
def orphans(
    days: Annotated[float, typer.Option(min=0, help="Only files that are older than this number of days.")] = 1,
    delete: Annotated[bool, typer.Option("--delete", help="Delete them.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the files of the store that nothing in the database names, and delete them with --delete."""
    from app.core.columns import now
    from app.upkeep import retention

    services = _existing()
    found = retention.orphans(services, now() - timedelta(days=days))
    for item in found if delete else ():
        services.store.delete(item.key)
    lines = [f"{item.size_bytes:>14,} {item.modified:%Y-%m-%d} {item.key}" for item in found]
    size = sum(item.size_bytes for item in found)
    what = "were deleted" if delete else "belong to nothing; --delete deletes them"
    end = f"{len(found)} files of {size:,} bytes {what}."
    document = {"deleted": delete, "size_bytes": size, "items": [item.key for item in found]}
    output.show(document, as_json, [*lines, end if found else "There are none."])


def _existing() -> "Services":
    """The services of a data folder that a service has used. Nothing is made, so a wrong folder stays empty.

    Raises `BadParameter` for any other folder.
    """
    from app.services import Services
    from app.settings import Settings

    settings = Settings()
    folder = settings.data_dir.resolve()
    elsewhere = settings.database_url and settings.store_url  # then the folder holds only what may be lost
    if not elsewhere and not any((folder / name).exists() for name in ("canemap.db", "store")):
        detail = f"{folder} is not the data folder of a service: it is {'empty' if folder.is_dir() else 'not there'}."
        hint = "Set CANEMAP_DATA_DIR to the folder of `canemap up --data`, or run this where `canemap-data` lies."
        raise typer.BadParameter(f"{detail} {hint}", param_hint="CANEMAP_DATA_DIR")
    return Services.open(settings)


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
