"""The services that use cases need, opened once in each process."""

from dataclasses import dataclass

from app.core.db import Database
from app.jobs.queue import JobQueue
from app.settings import Settings
from app.storage import Cache, Store, open_store


@dataclass(frozen=True)
class Services:
    """The settings, the database, the store, the job queue and the cache of a process."""

    settings: Settings
    database: Database
    store: Store
    queue: JobQueue
    cache: Cache

    @classmethod
    def open(cls, settings: Settings) -> "Services":
        """Open the services that `settings` name, and create the data folder if it is missing."""
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        cache = Cache(settings.data_dir.resolve() / "cache", settings.cache_limit_bytes)
        return cls(settings, Database(settings.database), open_store(settings.store, cache), JobQueue(settings), cache)

    def close(self) -> None:
        """Close all connections to the database."""
        self.database.close()
