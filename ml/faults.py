"""Faults, for which an input is refused, and notes on an input that is accepted.

The caller decides what to do about a fault.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice

from ml.frozen import Frozen

MOST_FAULTS = 20  # that are told of one input; a longer list is not read, and could be larger than the input


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with an input.

    code: Stable name in snake_case, for programs. detail: What is wrong, with the numbers. hint: How to mend it.
    pointer: Where it is wrong, as a JSON pointer into the request, or "" for the file itself.
    """

    code: str
    detail: str
    hint: str
    pointer: str = ""

    def at(self, pointer: str) -> "Fault":
        """The same fault with another `pointer`."""
        return replace(self, pointer=pointer)


class Note(Frozen):
    """Something odd about an input that is accepted.

    code: Stable name in snake_case. detail: What was found, with the numbers. hint: What to do about it, or "".
    """

    code: str
    detail: str
    hint: str = ""


class InputRefused(Exception):
    """Raised to refuse an input, with the faults that were found in it, at most `MOST_FAULTS`.

    more: Number of further faults, which are only counted.
    """

    def __init__(self, *faults: Fault, more: int = 0) -> None:
        self.faults, self.more = first_faults(faults, more)
        super().__init__(told(self.faults, self.more))

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the exception as its faults and their number, so that it can pass to another process."""
        return _refused, (self.faults, self.more)


def _refused(faults: tuple[Fault, ...], more: int) -> InputRefused:
    return InputRefused(*faults, more=more)


def first_faults(faults: Iterable[Fault], more: int = 0) -> tuple[tuple[Fault, ...], int]:
    """The first `MOST_FAULTS` of `faults`, and the number of all others, which are not kept.

    more: Number of faults that were counted already.
    """
    rest = iter(faults)
    first = tuple(islice(rest, MOST_FAULTS))
    return first, more + sum(1 for _ in rest)


def told(faults: Iterable[Fault], more: int = 0) -> str:
    """The details of `faults` in one line, and how many `more` there are."""
    listed = "; ".join(fault.detail for fault in faults)
    return f"{listed}; and {more} more" if more else listed


def refuse_any(faults: Iterable[Fault]) -> None:
    """Raise `InputRefused` with the first of `faults` and the number of all others, if there are any."""
    found, more = first_faults(faults)
    if found:
        raise InputRefused(*found, more=more)
