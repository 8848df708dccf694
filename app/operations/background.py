"""What every process does beside its own work: look for dead workers, unheard jobs and schedules that are due."""

import threading

from app.core.periodic import start_every
from app.jobs.sweep import Sweeper
from app.schedules.due import Ticker
from app.services import Services


def start_rounds(services: Services, stop: threading.Event) -> list[threading.Thread]:
    """Sweep and tick, each in a thread of its own, until `stop` is set."""
    sweeper = Sweeper(services.database, services.queue, services.settings)
    rounds = {"sweep": sweeper.sweep, "tick": Ticker(services).tick}
    return [start_every(services.settings.sweep_s, do, stop, name=name) for name, do in rounds.items()]
