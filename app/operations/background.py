"""The background threads of every process: they look for dead workers, waiting jobs and schedules that are due."""

import threading

from app.core.periodic import start_every
from app.jobs.sweep import Sweeper
from app.schedules.due import Ticker
from app.services import Services


def start_rounds(services: Services, stop: threading.Event) -> list[threading.Thread]:
    """Start threads that sweep, tick and reserve room on the disk, until `stop` is set. Returns the threads."""
    services.database.keep_reserve()  # before anything else can take the room
    sweeper = Sweeper(services.database, services.queue, services.settings)
    rounds = {"sweep": sweeper.sweep, "tick": Ticker(services).tick, "reserve": services.database.keep_reserve}
    return [start_every(services.settings.sweep_s, do, stop, name=name) for name, do in rounds.items()]
