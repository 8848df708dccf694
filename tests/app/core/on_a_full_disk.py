"""A program that opens SQLite databases on a full disk, without a reserve and with one. Nothing else uses the disk."""

import json
import sys
from pathlib import Path

from sqlalchemy.exc import OperationalError

from app.core.db import Database, migrate
from app.jobs import lifecycle
from app.settings import Settings
from tests.disks import fill


def main(disk: Path) -> None:
    """Print what happens when the database is opened, as JSON."""
    settings, filler = Settings(data_dir=disk), disk / "filler"
    migrate(settings)
    make_job(settings)
    fill(filler)
    without = opened(settings)
    filler.unlink()
    make_reserve(settings)
    fill(filler)
    with_reserve = opened(settings)
    print(json.dumps({"without": without, "with": with_reserve}))


def make_job(settings: Settings) -> None:
    database = Database(settings.database)
    with database.write() as session:
        lifecycle.create(session, "trn_1", "training")
    database.close()


def make_reserve(settings: Settings) -> None:
    database = Database(settings.database)
    database.keep_reserve()
    database.close()


def opened(settings: Settings) -> str:
    """What happens when the job is read and dismissed by the only process that has the database open."""
    database = Database(settings.database)
    try:
        with database.read() as session:
            before = lifecycle.get(session, "trn_1").status
        after = database.erase(lambda session: lifecycle.dismiss(session, "trn_1")).status
        return f"{before}, then {after}"
    except OperationalError as error:
        return "no room" if database.is_full(error) else repr(error)
    finally:
        database.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
