"""The background threads of every process: they look for dead workers, waiting jobs and schedules that are due.

Those of an API send the messages of webhooks as well.
"""

import threading
from functools import partial

from app.core.periodic import start_every
from app.jobs.sweep import Sweeper
from app.schedules.due import Ticker
from app.services import Services
from app.upkeep import retention
from app.upkeep.scrubbing import Scrubber
from app.webhooks.deliverer import POLL_S, Deliverer

UPKEEP_S, SCRUB_S = 3600.0, 60.0  # between two looks whether there is something to delete, or to check


def start_upkeep(services: Services, stop: threading.Event) -> list[threading.Thread]:
    """Start threads that delete what is kept no longer, and check the stored files, until `stop` is set."""
    scrubber = Scrubber(services, stop.wait)
    return [
        start_every(UPKEEP_S, partial(retention.sweep, services), stop, name="retention"),
        start_every(SCRUB_S, scrubber.run, stop, name="scrub"),
    ]


def start_rounds(services: Services, stop: threading.Event) -> list[threading.Thread]:
    """Start threads that sweep, tick and reserve room on the disk, until `stop` is set. Returns the threads."""
    services.database.keep_reserve()  # before anything else can take the room
    sweeper = Sweeper(services.database, services.queue, services.settings)
    rounds = {"sweep": sweeper.sweep, "tick": Ticker(services).tick, "reserve": services.database.keep_reserve}
    return [start_every(services.settings.sweep_s, do, stop, name=name) for name, do in rounds.items()]


def start_deliveries(services: Services, stop: threading.Event) -> threading.Thread:
    """Start the thread that sends the messages of webhooks, until `stop` is set."""
    deliverer = Deliverer(services.database, services.settings)
    return start_every(POLL_S, partial(deliverer.run, stop), stop, name="deliveries")
