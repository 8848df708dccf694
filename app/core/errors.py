"""What can go wrong with a request, in the words of the use cases; `app.api.http.problems` picks the HTTP status."""

from ml.faults import Fault


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
