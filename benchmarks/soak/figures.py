"""What a soak measured: pure functions of the history and of the strikes."""

import statistics
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.percentiles import percentile
from benchmarks.soak.history import Event


def summary(values: Sequence[float]) -> dict[str, float | int | None]:
    """Number of values, their median, 99th percentile and maximum; None for these if there is no value."""
    if not values:
        return {"count": 0, "p50": None, "p99": None, "max": None}
    return {
        "count": len(values),
        "p50": round(statistics.median(values), 4),
        "p99": round(percentile(values, 0.99), 4),
        "max": round(max(values), 4),
    }


@dataclass(frozen=True)
class Recovery:
    """Seconds from a kill until the job of the killed worker was given back, and until it was claimed again."""

    kind: str
    given_back: float
    claimed_again: float


def recoveries(events: Sequence[Event], kills: Sequence[tuple[float, str]]) -> Iterator[Recovery]:
    """The recovery of each job whose worker was killed.

    kills: Times of the kills of workers and their kinds, in order. A job belongs to the last kill while it was running.
    """
    times = [at for at, _ in kills]
    lives: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.what != "result":
            lives[event.job].append(event)
    for life in lives.values():
        for claimed, back, again in zip(life, life[1:], life[2:], strict=False):
            lost = (claimed.status, back.status, again.status) == ("running", "accepted", "running")
            number = bisect_right(times, back.at) - 1
            if lost and back.failures > claimed.failures and number >= 0 and times[number] >= claimed.at:
                at, kind = kills[number]
                yield Recovery(kind, back.at - at, again.at - at)
