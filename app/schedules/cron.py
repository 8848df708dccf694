"""Times by cron in a time zone, by the rules of Debian's cron.

A fixed local time that a change of the clocks skips happens right after the gap; one that comes twice happens the first
time only. Cron expressions with a star for the minute or the hour follow the elapsed time instead.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from itertools import islice, takewhile
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from ml.faults import Fault

COUNTED = 1000  # missed times are counted up to here


@dataclass(frozen=True)
class Missed:
    """due: the latest time that has come, in UTC. earlier: how many came before it since nothing ran, at most 1000."""

    due: datetime
    earlier: int


def faults(cron: str, timezone: str) -> Iterator[Fault]:
    """What is wrong with a cron expression of five fields and the name of a time zone."""
    try:
        if len(cron.split()) != 5:
            raise CronSimError("Wrong number of fields")
        next(CronSim(cron, datetime(2000, 1, 1)))
    except (CronSimError, StopIteration) as error:
        why = str(error) or "it never comes"
        hint = "Write minute hour day-of-month month day-of-week: 0 2 1 * * is 2:00 on the first of each month."
        yield Fault("bad_cron", f"{cron!r} is no cron expression: {why}.", hint, "/cron")
    zones = available_timezones() - {"Factory", "localtime"}  # no places: they mean what the machine says
    if timezone not in zones:
        near = get_close_matches(timezone, sorted(zones), n=1)
        hint = f"Did you mean {near[0]}?" if near else "Write a name of the IANA database, like Asia/Shanghai or UTC."
        yield Fault("unknown_timezone", f"There is no time zone {timezone!r}.", hint, "/timezone")


def after(cron: str, timezone: str, moment: datetime) -> datetime:
    """The first time after `moment`, in UTC."""
    # in an hour that comes twice cron would give what has already come
    return next(time for time in _times(cron, timezone, moment) if time > moment)


def come(cron: str, timezone: str, first: datetime, moment: datetime) -> Missed:
    """The times from `first`, which has come, to `moment`."""
    # from a second later: cron gives no time that it starts from, and going back it must not be given a fraction
    start = moment.replace(microsecond=0) + timedelta(seconds=1)
    newer = takewhile(lambda time: time > first, _times(cron, timezone, start, reverse=True))
    counted = list(islice(newer, COUNTED))
    return Missed(counted[0] if counted else first, len(counted))


def _times(cron: str, timezone: str, start: datetime, *, reverse: bool = False) -> Iterator[datetime]:
    return (time.astimezone(UTC) for time in CronSim(cron, start.astimezone(ZoneInfo(timezone)), reverse=reverse))
