"""What every process does beside its own work: look for dead workers, unheard jobs and schedules that are due."""

import threading

from app.jobs.sweep import Sweeper
from app.schedules.due import Ticker
from app.services import Services


def start_rounds(services: Services, stop: threading.Event) -> list[threading.Thread]:
    """Sweep and tick, each in a thread of its own, until `stop` is set."""
    sweeper = Sweeper(services.database, services.doorbell, services.settings)
    threads = [
        threading.Thread(target=each.run, args=(stop,), name=name, daemon=True)
        for name, each in (("sweep", sweeper), ("tick", Ticker(services)))
    ]
    for thread in threads:
        thread.start()
    return threads
