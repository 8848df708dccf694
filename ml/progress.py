"""How long work reports its progress, and how it is stopped."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """A report on the progress of work.

    stage: Name of the current stage. done, total: Units of work finished in the stage, and all of them. message: Text
    for people. values: Losses and metrics of an epoch, one row of a training's series. note: A line for the log.
    pixels: Pixels of the scene that are mapped so far, also by earlier attempts.
    file: the file of a client that is being read, in words that the client knows: "scene 'a'".
    """

    stage: str
    done: int
    total: int
    message: str = ""
    values: Mapping[str, float | int | None] = field(default_factory=dict)
    note: str = ""
    pixels: int = 0
    file: str = ""


class Stopped(Exception):
    """Raised by a `Watch` to end the work at once, since the job was dismissed or another worker has taken it over."""


Watch = Callable[[Progress], None]
Tick = Callable[[], None]  # reports that the work goes on; raises `Stopped` as a `Watch` does


def silent(progress: Progress) -> None:
    """A `Watch` that does nothing."""


def still() -> None:
    """A `Tick` that does nothing."""
