"""Faults, for which an input is refused, and notes on an input that is accepted.

The caller decides what to do about a fault.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ml.frozen import Frozen


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
    """Raised to refuse an input, with every fault that was found in it."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(fault.detail for fault in faults))
        self.faults = faults

    def __reduce__(self) -> tuple[type["InputRefused"], tuple[Fault, ...]]:
        """Pickle the exception as its faults, so that it can pass to another process."""
        return type(self), self.faults


def refuse_any(faults: Iterable[Fault]) -> None:
    """Raise `InputRefused` with all of `faults`, if there are any."""
    found = tuple(faults)
    if found:
        raise InputRefused(*found)
