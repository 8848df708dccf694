"""The services that use cases need, opened once in each process."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.access import audit
from app.core.db import OF_AN_API, Connections, Database
from app.inspection.inspector import Inspector
from app.inspection.limits import Limits
from app.jobs.queue import JobQueue
from app.jobs.watch import Watch
from app.settings import Settings
from app.storage import Cache, Store, open_store


@dataclass(frozen=True)
class Services:
    """The settings, the database, the store, the job queue and its watch, the cache and the inspector of a process."""

    settings: Settings
    database: Database
    store: Store
    queue: JobQueue
    watch: Watch
    cache: Cache
    inspector: Inspector

    @classmethod
    def open(cls, settings: Settings, connections: Connections = OF_AN_API) -> "Services":
        """Open the services that `settings` name, and create the data folder if it is missing.

        connections: To the database, of this process.
        """
        audit.watch()
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        cache = Cache(settings.data_dir.resolve() / "cache", settings.cache_limit_bytes)
        store, limits = open_store(settings.store, cache, 3600 * settings.trust_files_h), _limits(settings)
        inspector = Inspector(limits, settings.inspection_wait_s)
        database = Database(settings.database, connections)
        return cls(settings, database, store, JobQueue(settings), Watch(database), cache, inspector)

    @contextmanager
    def recording(self, *keys: str) -> Iterator[Session]:
        """A writing transaction that records objects of the store. If there is no room for it, they are deleted.

        Otherwise nothing would ever delete them.
        """
        try:
            with self.database.write() as session:
                yield session
        except OperationalError as error:
            if self.database.is_full(error):
                for key in keys:
                    self.store.delete(key)
            raise

    def close(self) -> None:
        """Close all connections to the database."""
        self.database.close()


def _limits(settings: Settings) -> Limits:
    return Limits(memory_bytes=settings.inspection_memory_bytes, core_s=settings.inspection_s)
