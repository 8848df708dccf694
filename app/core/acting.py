"""On whose behalf something is done: for the audit log, and for what not everybody may do."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

from app.core.errors import Forbidden
from ml.faults import Fault


@dataclass(frozen=True)
class Act:
    """Something that is done on somebody's behalf.

    who: Like "key 4f7hq2x9", "schedule monthly" or "command line". action: Like "PUT /v1/models/cane/aliases/champion".
    scopes: What they may do. reads: Whether it is a request that changes nothing by its nature. peer: Address from
    which they ask. request: Id of the request.
    """

    who: str
    action: str
    scopes: tuple[str, ...] = ()
    reads: bool = False
    peer: str | None = None
    request: str | None = None


_act: ContextVar[Act | None] = ContextVar("act", default=None)


def current() -> Act | None:
    """What is done now; None if it is nobody's wish, as upkeep is."""
    return _act.get()


@contextmanager
def acting(act: Act | None) -> Iterator[None]:
    """Do the block on somebody's behalf; None for nobody's."""
    token = _act.set(act)
    try:
        yield
    finally:
        _act.reset(token)


@contextmanager
def changing() -> Iterator[None]:
    """Do the block as a change: the audit log has an entry of it also if the request only reads by its nature."""
    act = current()
    with acting(act and replace(act, reads=False)):
        yield


def check_approver(what: str) -> None:
    """Raise `Forbidden` if somebody acts who may not approve. what: What asks for approval, in words."""
    check_scope("approve", f"{what} asks for approval: this needs the scope 'approve'.")


def check_scope(needed: str, detail: str) -> None:
    """Raise `Forbidden` if somebody acts who does not have the scope `needed`. detail: A sentence that says why."""
    act = current()
    if act is None or needed in act.scopes:
        return
    hint = "Ask somebody who has a key with this scope to do it."
    raise Forbidden("missing-scope", detail, Fault("missing_scope", detail, hint, "header:authorization"))
