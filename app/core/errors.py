"""The errors of use cases, and the problem document (RFC 9457) that describes one.

The API answers with such a document, and a failed job keeps one. `app.api.http.problems` chooses the HTTP status.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import Field

from ml.faults import Fault, InputRefused, first_faults, told
from ml.frozen import Frozen

# codes of faults about the size of a file: its decoded content would be too much for the service
TOO_LARGE = {
    "too_many_pixels",
    "too_many_bands",
    "too_many_blocks",
    "too_many_features",
    "too_much_metadata",
    "too_large",
    "block_too_large",
    "overlapping_blocks",
}


class ProblemDocument(Frozen):
    """A problem document as in RFC 9457.

    type: the stable code. errors: the first faults, each with a hint how to fix it; left out if there are none.
    more: number of further faults; left out if it is 0. instance: the path of the request; left out if it is None.
    """

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[Fault, ...] = Field((), exclude_if=lambda faults: not faults)
    more: int = Field(0, exclude_if=lambda count: not count)
    instance: str | None = Field(None, exclude_if=lambda path: path is None)


class Problem(Exception):
    """A request that cannot be granted.

    code: stable, in kebab-case. faults: the first of the single reasons, each with a hint. more: number of the others.
    """

    title = "The request cannot be granted"
    public = ""  # what clients are told instead of the detail, which then names what only the operator may know

    def __init__(self, code: str, detail: str, *faults: Fault, more: int = 0) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.faults, self.more = first_faults(faults, more)


class Unreadable(Problem):
    """The request is malformed."""

    title = "The request cannot be read"


class Forbidden(Problem):
    """Whoever sends the request may not do this."""

    title = "Not allowed"


class NotFound(Problem):
    """There is no resource with the requested name. kind: what it would be, in words."""

    title = "Not found"

    def __init__(self, kind: str, name: str, *faults: Fault) -> None:
        super().__init__("not-found", f"There is no {kind} {name!r}.", *faults)


class NotReady(Problem):
    """The resource will exist when its job has succeeded."""

    title = "Not ready"


class Conflict(Problem):
    """The request conflicts with the current state of the resource."""

    title = "Conflict"


class NotYet(Conflict):
    """The same request will be possible in a moment."""


class Invalid(Problem):
    """The content of the request is wrong. faults: what is wrong, where, and how to fix it."""

    title = "The content is wrong"

    def __init__(self, code: str, *faults: Fault, more: int = 0) -> None:
        first, more = first_faults(faults, more)
        super().__init__(code, told(first, more), *first, more=more)


class Locked(Problem):
    """The resource is being changed by another request."""

    title = "In use"


class PreconditionFailed(Problem):
    """The resource has changed since the client read it."""

    title = "It has changed meanwhile"


class TooLarge(Problem):
    """The body of the request is larger than the limit."""

    title = "Too large"


class Encoded(Problem):
    """The body of the request has a content encoding that is not supported."""

    title = "Unsupported encoding"


class ChecksumMismatch(Problem):
    """The body of the request is not what its checksum says."""

    title = "Damaged on the way"


class TooSlow(Problem):
    """The body of the request did not arrive in time."""

    title = "Too slow"


class NoRoom(Problem):
    """The disk is full."""

    title = "No room"


@dataclass(frozen=True)
class Quota:
    """A limit that a request would pass, as the fields RateLimit and RateLimit-Policy tell it.

    name: Of the policy, like "requests". most: Of its units. unit: As the draft of these fields names units.
    window_s: Seconds in which that many may be used; None if it is no matter of time. left: Units that are not used.
    retry_after_s: Seconds after which another try is sensible; None if there is no such time.
    """

    name: str
    most: int
    unit: str
    left: int = 0
    window_s: int | None = None
    retry_after_s: int | None = None


class OverQuota(Problem):
    """The request would use more than a tenant, or one of its keys, may use."""

    title = "More than you may use"

    def __init__(self, code: str, detail: str, hint: str, quota: Quota) -> None:
        super().__init__(code, f"{detail} {hint}", Fault(code.replace("-", "_"), detail, hint))
        self.quota = quota


class StorageFull(OverQuota):
    """The tenant has stored as much as it may."""

    title = "No room"


class NeverFits(OverQuota, TooLarge):
    """The file is larger than all that the tenant may store."""

    title = "Too large"


class Damaged(Problem):
    """A file of the store is missing, or its bytes are not those that were stored: it must not be used."""

    title = "A stored file cannot be used"

    def __init__(self, code: str, detail: str, owner: str) -> None:
        """Name the file for the log in `detail`, and for the client only what the file belongs to.

        owner: Like "scene 's1'", in words that the client knows.
        """
        lost = f"A file of {owner} in the store is missing or damaged, and was not used."
        hint = "Whoever runs the service can restore the file from a backup: the log names it. Then try again."
        super().__init__(code, detail, Fault(code.replace("-", "_"), lost, hint))
        self.public = f"{lost} {hint}"


class Busy(Problem):
    """The service does as much of this kind of work as it can at this moment."""

    title = "Not now"


class StoreAway(Problem):
    """The store cannot be reached, or refuses a request."""

    title = "Not now"
    public = "The store of the files cannot be used. The log of the service says why."


def invalid(code: str, detail: str, hint: str, pointer: str = "") -> Invalid:
    """An `Invalid` with one fault, whose code is `code` in snake_case."""
    return Invalid(code, Fault(code.replace("-", "_"), detail, hint, pointer))


def unreadable(code: str, detail: str, hint: str, pointer: str) -> Unreadable:
    """An `Unreadable` with one fault, whose code is `code` in snake_case."""
    return Unreadable(code, f"{detail} {hint}", Fault(code.replace("-", "_"), detail, hint, pointer))


def refuse_any(code: str, faults: Iterable[Fault]) -> None:
    """Raise `Invalid` with the first of `faults` and the number of all others, if there are any."""
    found, more = first_faults(faults)
    if found:
        raise Invalid(code, *found, more=more)


def document(
    status: int, code: str, title: str, detail: str, faults: Iterable[Fault] = (), more: int = 0
) -> ProblemDocument:
    """A problem document without an instance. status: the HTTP status. more: number of faults beside `faults`."""
    first, more = first_faults(faults, more)
    return ProblemDocument(type=code, title=title, status=status, detail=detail, errors=first, more=more)


def refusal(refused: InputRefused) -> ProblemDocument:
    """The problem document of a refused input: status 413 if a fault is about its size, otherwise 422."""
    status = 413 if any(fault.code in TOO_LARGE for fault in refused.faults) else 422
    code = refused.faults[0].code.replace("_", "-")
    return document(status, code, "The input cannot be used", str(refused), refused.faults, refused.more)
