"""A service whose webhooks may lead to the loopback, and what tests of webhooks do with it."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.access import tenants
from app.core import tenancy
from app.core.db import Database
from app.core.idempotency import FRESH
from app.core.names import new_id
from app.core.periodic import start_every
from app.jobs import claims, lifecycle
from app.requests.webhooks import EventType, WebhookRequest
from app.settings import Settings
from app.tables import Delivery, Webhook
from app.webhooks import deliverer, webhooks
from app.webhooks.deliverer import Deliverer
from tests.app.webhooks.receivers import LOOPBACK, wait_until

OTHER = "nanning"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_loopback(settings)


@pytest.fixture
def settings_on_sqlite(migrated_sqlite: str, tmp_path: Path) -> Settings:
    """For tests that have nothing to do with the database."""
    from tests import servers

    with servers.copy_of(migrated_sqlite, tmp_path) as url:
        return with_loopback(Settings(data_dir=tmp_path / "data", database_url=url))


def with_loopback(settings: Settings) -> Settings:
    """The same settings, with which webhooks may lead to the loopback, and attempts follow each other at once."""
    changes = {"webhook_networks": LOOPBACK, "webhook_timeout_s": 1.0, "webhook_pauses_s": "0.05,0.05"}
    return settings.model_copy(update=changes)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the outbox be looked into more often than once a second."""
    monkeypatch.setattr(deliverer, "POLL_S", 0.02)


@contextmanager
def delivering(settings: Settings, loops: int = 1) -> Iterator[None]:
    """Deliver until the block ends, as so many APIs do."""
    databases, stop = [Database(settings.database) for _ in range(loops)], threading.Event()
    threads = [
        start_every(0.05, lambda each=each: Deliverer(each, settings).run(stop), stop, name="test")  # type: ignore[misc]
        for each in databases
    ]
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        for each in databases:
            each.close()


def register(
    database: Database, url: str, events: Sequence[EventType] | None = None, tenant: str = tenancy.LOCAL
) -> str:
    """Register a webhook of a tenant; returns its id."""
    with tenancy.acting_for(tenancy.ALL), database.write() as session:
        tenants.ensure(session, tenant)
    request = WebhookRequest(url=url, events=None if events is None else tuple(events))
    with tenancy.acting_for(tenant), database.write() as session:
        return webhooks.create(session, tenant, request, FRESH).row.id


def end_jobs(database: Database, count: int = 1, tenant: str = tenancy.LOCAL) -> list[str]:
    """Let new jobs of a tenant succeed; returns their ids."""
    ids = [new_id("prd") for _ in range(count)]
    for id_ in ids:
        with tenancy.acting_for(tenant), database.write() as session:
            lifecycle.create(session, id_, "prediction")
            claim = claims.claim(session, id_)
            assert claim
            claims.succeed(session, claim)
    return ids


def webhook_of(database: Database, id_: str) -> Webhook:
    """The row of a webhook of the current tenant."""
    with database.read() as session:
        return webhooks.get(session, id_)


def deliveries_of(database: Database, webhook: str) -> list[Delivery]:
    """The rows of the deliveries of a webhook of the current tenant, oldest first."""
    from app.webhooks import deliveries

    with database.read() as session:
        return list(deliveries.find(session, webhook, limit=1000, token=None).rows)[::-1]


def until_ended(database: Database, webhook: str, count: int = 1) -> list[Delivery]:
    """The deliveries of a webhook, once so many of them have ended."""
    wait_until(lambda: sum(row.ended is not None for row in deliveries_of(database, webhook)) >= count)
    return deliveries_of(database, webhook)
