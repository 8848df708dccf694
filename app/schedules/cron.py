"""The times of a cron expression in a time zone, by the rules of Debian's cron.

If a change of the clocks skips a fixed local time, it is due right after the gap; if a local time occurs twice, only
the first one is due. Cron expressions with a star for the minute or the hour follow the elapsed time instead.
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
    """The times at which a schedule was due and that were not handled yet.

    due: The latest of them, in UTC. earlier: Number of the others, counted up to `COUNTED`.
    """

    due: datetime
    earlier: int


def faults(cron: str, timezone: str) -> Iterator[Fault]:
    """The faults of a cron expression, which must have five fields, and of the name of a time zone."""
    try:
        if len(cron.split()) != 5:
            raise CronSimError("Wrong number of fields")
        next(CronSim(cron, datetime(2000, 1, 1)))
    except (CronSimError, StopIteration) as error:
        why = str(error) or "it has no time at all"
        hint = "Write minute hour day-of-month month day-of-week: 0 2 1 * * is 2:00 on the first of each month."
        yield Fault("bad_cron", f"{cron!r} is not a valid cron expression: {why}.", hint, "/cron")
    zones = available_timezones() - {"Factory", "localtime"}  # these depend on the machine
    if timezone not in zones:
        near = get_close_matches(timezone, sorted(zones), n=1)
        hint = f"Did you mean {near[0]}?" if near else "Use a name of the IANA database, like Asia/Shanghai or UTC."
        yield Fault("unknown_timezone", f"There is no time zone {timezone!r}.", hint, "/timezone")


def after(cron: str, timezone: str, moment: datetime) -> datetime:
    """The first time of the cron expression after `moment`, in UTC."""
    # in an hour that occurs twice, the iterator may return times that have already passed
    return next(time for time in _times(cron, timezone, moment) if time > moment)


def missed(cron: str, timezone: str, first: datetime, moment: datetime) -> Missed:
    """The times of the cron expression from `first`, which is one of them and has passed, to `moment`."""
    # start a second later: the iterator leaves out its start, and backwards it cannot start within a second
    start = moment.replace(microsecond=0) + timedelta(seconds=1)
    newer = takewhile(lambda time: time > first, _times(cron, timezone, start, reverse=True))
    counted = list(islice(newer, COUNTED))
    return Missed(counted[0] if counted else first, len(counted))


def _times(cron: str, timezone: str, start: datetime, *, reverse: bool = False) -> Iterator[datetime]:
    return (time.astimezone(UTC) for time in CronSim(cron, start.astimezone(ZoneInfo(timezone)), reverse=reverse))
