"""Tenants: whose rows a piece of work sees, and how the same name can be used by each of them.

Every row of a resource belongs to one tenant. Code works in the scope of one tenant, and there all names and ids are
plain, like "wuming-2018". The database keeps the same id as "nanning/wuming-2018": an id of another tenant can not even
be written in the scope of this one. The tenant of an installation that has only one is `LOCAL`; its ids are stored as
they are.

What looks after the whole service, such as a sweep, works in the scope of all tenants. Only there are ids whole.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

LOCAL = "local"  # the tenant of whoever runs the service
ALL = "*"  # the scope of all tenants, in which no name is plain
NOBODY = ""  # the scope of a request that has named no tenant: it has no rows
SEPARATOR = "/"  # between the tenant and the name; no name has it
_scope: ContextVar[str] = ContextVar("tenant", default=LOCAL)


def current() -> str:
    """The tenant of the current scope, `ALL` or `NOBODY`."""
    return _scope.get()


@contextmanager
def acting_for(tenant: str) -> Iterator[None]:
    """Work in the scope of `tenant` until the block ends."""
    token = _scope.set(tenant)
    try:
        yield
    finally:
        _scope.reset(token)


def whole(name: str) -> str:
    """A name or id of the current scope as the database has it. A whole id of the own tenant stays as it is.

    A whole id of another tenant becomes one that no row has.
    """
    scope = _scope.get()
    if scope == ALL or name.startswith(scope + SEPARATOR) or (scope == LOCAL and SEPARATOR not in name):
        return name
    return f"{scope}{SEPARATOR}{name}"


def plain(id_: str) -> str:
    """A whole id as the current scope writes it: without its tenant, unless this is the scope of all."""
    return id_.removeprefix(_scope.get() + SEPARATOR)


def tenant_of(id_: str) -> str:
    """The tenant that a whole id belongs to."""
    tenant, separator, _ = id_.partition(SEPARATOR)
    return tenant if separator else LOCAL


def file_name(name: str) -> str:
    """A name or id of the current scope as a part of a path or of a key in the store, where no two tenants meet."""
    return whole(name).replace(SEPARATOR, "@")
