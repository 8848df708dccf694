"""How long work tells what it has done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """done of total units of real work in a stage; `values` is one row of a training's series, `note` a line to log.

    pixels: of the scene, mapped so far; earlier attempts included.
    """

    stage: str
    done: int
    total: int
    message: str = ""
    values: Mapping[str, float | int | None] = field(default_factory=dict)
    note: str = ""
    pixels: int = 0


class Stopped(Exception):
    """Raised by a `Watch` to end the work at once: somebody dismissed it, or took it over."""


Watch = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """A `Watch` that hears and says nothing."""
