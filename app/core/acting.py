"""On whose behalf something is done: for the audit log, and for what not everybody may do."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from app.core.errors import Forbidden
from ml.faults import Fault


@dataclass(frozen=True)
class Act:
    """Something that is done on somebody's behalf.

    who: Like "key 4f7hq2x9", "schedule monthly" or "command line". action: Like "PUT /v1/models/cane/aliases/champion".
    may_approve: Whether they may do what needs approval. peer: Address from which they ask. request: Id of the request.
    """

    who: str
    action: str
    may_approve: bool = False
    peer: str | None = None
    request: str | None = None

    @property
    def reads(self) -> bool:
        """Whether it is a request that changes nothing by its nature."""
        return self.action.startswith(("GET ", "HEAD "))


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


def check_approver(what: str) -> None:
    """Raise `Forbidden` if somebody acts who may not approve. what: What asks for approval, in words."""
    act = current()
    if act is None or act.may_approve:
        return
    detail = f"{what} asks for approval: this needs the scope 'approve'."
    hint = "Ask somebody who has a key with this scope to do it."
    raise Forbidden("missing-scope", detail, Fault("missing_scope", detail, hint, "header:authorization"))
