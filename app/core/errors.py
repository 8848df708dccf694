"""What can go wrong with a request, in the words of the use cases; `app.api.http.problems` picks the HTTP status.

And how it is told: a problem document (RFC 9457), which the API answers and a failed job keeps.
"""

from collections.abc import Sequence

from pydantic import Field

from ml.faults import Fault, InputRefused
from ml.frozen import Frozen

# faults of a file that are about its size: the service could not hold what it unfolds to
TOO_LARGE = {
    "too_many_pixels",
    "too_many_bands",
    "too_many_blocks",
    "too_many_features",
    "too_large",
    "block_too_large",
    "overlapping_blocks",
}


class ProblemDocument(Frozen):
    """A problem as in RFC 9457. type: the stable code. errors: each fault with its fix. instance: the path asked for.

    Both are left out where there is nothing to say.
    """

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[Fault, ...] = Field((), exclude_if=lambda faults: not faults)
    instance: str | None = Field(None, exclude_if=lambda path: path is None)


class Problem(Exception):
    """A request that cannot be granted. code: stable, kebab-case; faults: every single reason, if there are several."""

    title = "The request cannot be granted"

    def __init__(self, code: str, detail: str, *faults: Fault) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.faults = faults


class Unreadable(Problem):
    """The request itself is malformed."""

    title = "The request cannot be read"


class NotFound(Problem):
    """Nothing of that name."""

    title = "Not found"

    def __init__(self, kind: str, name: str, *faults: Fault) -> None:
        super().__init__("not-found", f"There is no {kind} {name!r}.", *faults)


class NotReady(Problem):
    """It will exist when its job has succeeded."""

    title = "Not ready"


class Conflict(Problem):
    """The state of things forbids it."""

    title = "Conflict"


class Invalid(Problem):
    """The content is wrong; faults say what, where and how to mend it."""

    title = "The content is wrong"

    def __init__(self, code: str, *faults: Fault) -> None:
        super().__init__(code, "; ".join(fault.detail for fault in faults), *faults)


class Locked(Problem):
    """Somebody else is at work on it."""

    title = "In use"


class PreconditionFailed(Problem):
    """It has changed since the client looked."""

    title = "It has changed meanwhile"


class TooLarge(Problem):
    """The body is over the limit."""

    title = "Too large"


class Encoded(Problem):
    """The body came in an encoding that is not taken."""

    title = "Unsupported encoding"


class TooSlow(Problem):
    """The body did not arrive in time."""

    title = "Too slow"


class NoRoom(Problem):
    """The disk is full."""

    title = "No room"


class Damaged(Problem):
    """A file of the store is missing or has other bytes than were put there: it must not be used."""

    title = "A stored file cannot be used"


class StoreAway(Problem):
    """The store cannot be reached, or refuses what it is asked."""

    title = "Not now"


def invalid(code: str, detail: str, hint: str, pointer: str = "") -> Invalid:
    """`Invalid` with one fault."""
    return Invalid(code, Fault(code.replace("-", "_"), detail, hint, pointer))


def document(status: int, code: str, title: str, detail: str, faults: Sequence[Fault] = ()) -> ProblemDocument:
    """The document of a problem."""
    return ProblemDocument(type=code, title=title, status=status, detail=detail, errors=tuple(faults))


def refusal(refused: InputRefused) -> ProblemDocument:
    """The document of a refused file."""
    status = 413 if any(fault.code in TOO_LARGE for fault in refused.faults) else 422
    code = refused.faults[0].code.replace("_", "-")
    return document(status, code, "The input cannot be used", str(refused), refused.faults)
