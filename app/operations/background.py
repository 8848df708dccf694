"""The background threads of every process: they look for dead workers, waiting jobs and schedules that are due."""

import threading

from app.core.periodic import start_every
from app.jobs.sweep import Sweeper
from app.schedules.due import Ticker
from app.services import Services


def start_rounds(services: Services, stop: threading.Event) -> list[threading.Thread]:
    """Start a thread that sweeps and one that ticks, both until `stop` is set. Returns the threads."""
    sweeper = Sweeper(services.database, services.queue, services.settings)
    rounds = {"sweep": sweeper.sweep, "tick": Ticker(services).tick}
    return [start_every(services.settings.sweep_s, do, stop, name=name) for name, do in rounds.items()]
