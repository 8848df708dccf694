"""What the use cases work with, put together once per process."""

from dataclasses import dataclass

from app.core.db import Database
from app.jobs.queue import JobQueue
from app.settings import Settings
from app.storage import Cache, Store, open_store


@dataclass(frozen=True)
class Services:
    """The database, the store, the doorbell and the cache of one process."""

    settings: Settings
    database: Database
    store: Store
    queue: JobQueue
    cache: Cache

    @classmethod
    def open(cls, settings: Settings) -> "Services":
        """Connect to what `settings` name."""
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        cache = Cache(settings.data_dir.resolve() / "cache", settings.cache_limit_bytes)
        return cls(settings, Database(settings.database), open_store(settings.store, cache), JobQueue(settings), cache)

    def close(self) -> None:
        """Give all connections back."""
        self.database.close()
