"""What the use cases work with, put together once per process."""

from dataclasses import dataclass

from app.db import Database
from app.queue import Doorbell
from app.settings import Settings
from app.storage import LocalStore


@dataclass(frozen=True)
class Services:
    """The database, the store and the doorbell of one process."""

    settings: Settings
    database: Database
    store: LocalStore
    doorbell: Doorbell

    @classmethod
    def open(cls, settings: Settings) -> "Services":
        """Connect to what `settings` name."""
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        return cls(settings, Database(settings.database), LocalStore(settings.data_dir / "store"), Doorbell(settings))

    def close(self) -> None:
        """Give all connections back."""
        self.database.close()
