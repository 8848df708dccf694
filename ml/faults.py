"""What is wrong with an input, where, and how to mend it; or what its owner should know though it is accepted.

The caller decides what a fault means for it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ml.frozen import Frozen


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    code: stable, snake_case, for programs. detail: what is wrong, with the figures. hint: how to mend it.
    pointer: where, as a JSON pointer into the request, or "" for the file itself.
    """

    code: str
    detail: str
    hint: str
    pointer: str = ""

    def at(self, pointer: str) -> "Fault":
        """The same fault, found at `pointer`."""
        return replace(self, pointer=pointer)


class Note(Frozen):
    """What is odd about an input that is accepted.

    code: stable, snake_case. detail: what was found, with the figures. hint: what to do about it, if anything.
    """

    code: str
    detail: str
    hint: str = ""


class InputRefused(Exception):
    """An input that must not be used, with every fault found in it."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(fault.detail for fault in faults))
        self.faults = faults

    def __reduce__(self) -> tuple[type["InputRefused"], tuple[Fault, ...]]:
        """Made again from its faults in another process."""
        return type(self), self.faults


def refuse_any(faults: Iterable[Fault]) -> None:
    """Raise `InputRefused` with all of `faults`, if there are any."""
    found = tuple(faults)
    if found:
        raise InputRefused(*found)
