"""What a key allows: one of five scopes, each of which includes all before it."""

from dataclasses import dataclass
from typing import get_args

from app.core.tenancy import LOCAL
from app.requests.access import Scope

SCOPES: tuple[Scope, ...] = get_args(Scope)


class Refused(Exception):
    """Somebody who is not let in. code: Why, like "unknown-key"; `app.api.http.access` has a sentence for each."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Principal:
    """Who sends a request.

    tenant: Whose things it sees. scope: What it may do. key_id: Of the key that it showed; None if none was asked for.
    """

    tenant: str = LOCAL
    scope: Scope = "admin"
    key_id: str | None = None

    def may(self, needed: Scope) -> bool:
        """Whether the scope includes `needed`."""
        return needed in self.scopes

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The scope with all that it includes."""
        return SCOPES[: SCOPES.index(self.scope) + 1]

    @property
    def runs_the_service(self) -> bool:
        """Whether it may look after all tenants."""
        return self.tenant == LOCAL and self.may("admin")
