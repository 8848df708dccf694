"""How boxes and times are written that select scenes."""

from collections.abc import Sequence
from datetime import UTC, datetime, time

from app.core.errors import invalid
from app.data.scenes import BBox, Interval, parse_time


def read_box(numbers: str | Sequence[float], pointer: str = "") -> BBox:
    """A box in degrees from west, south, east and north, or from the six numbers with heights. Raises `Invalid`."""
    parts = numbers.split(",") if isinstance(numbers, str) else numbers
    try:
        values = [float(part) for part in parts]
        west, south, east, north = (*values[:2], *values[3:5]) if len(values) == 6 else values
    except ValueError:
        west, south, east, north = 0, 1, 0, -1
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        hint = "Write west,south,east,north in degrees; west is larger than east across the date line."
        raise invalid("invalid-bbox", "bbox is not a box on the globe.", hint, pointer)
    return west, south, east, north


def read_interval(text: str, pointer: str = "") -> Interval:
    """A time, or `start/end`, as start and end in UTC, None for an open end. Raises `Invalid`."""
    first, slash, last = text.partition("/")
    start, end = _moment(first, time.min, pointer), _moment(last if slash else first, time.max, pointer)
    if start and end and end < start:
        hint = "Write the earlier time first: start/end."
        raise invalid("invalid-datetime", "The interval ends before it starts.", hint, pointer)
    return start, end


def _moment(text: str, of_day: time, pointer: str) -> datetime | None:
    """A time in UTC, or None for an open end. A date is a whole day, of which `of_day` is the first or last moment."""
    if text in ("", ".."):
        return None
    moment = parse_time(text, pointer)
    return moment if len(text) > len("2018-10-12") else datetime.combine(moment, of_day, UTC)
