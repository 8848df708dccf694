"""Signed addresses: for some time, whoever has one can read a file or tiles with no key, as map programs need it.

The signature is an HMAC (RFC 2104) with SHA-256 over what it allows: a path, or all paths that begin with one, for a
tenant, until a time. It names the key of whoever asked for it, and ends with that key.
"""

import base64
import hashlib
import hmac
import json
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

from sqlalchemy.orm import Session

from app.access.scopes import Principal, Refused
from app.core import tenancy
from app.core.columns import now
from app.core.db import Database
from app.core.errors import invalid
from app.core.idempotency import INSERT
from app.tables import Secret

PARAMETER = "signature"
# files and pictures of one thing: no list, and nothing that can be changed
SIGNABLE = re.compile(
    r"/v1/(scenes|predictions)/[^/?#]+/[^?#]+|/v1/models/[^/?#]+/versions/[^/?#]+/(bundle|onnx)"
    r"|/v1/(datasets|trainings|experiments)/[^/?#]+/figures/[^/?#]+"
    r"|/v1/surveys/[^/?#]+/(tiles/[^?#]+|[^/?#]+\.(tif|qml|json|png))"
)
_TILES = re.compile(r"(/v1/(?:scenes|predictions|surveys)/[^/]+/)(tiles/.*|tilejson\.json)")
_NAME = "signed addresses"


@dataclass
class Signer:
    """Signs addresses, and checks signatures. All processes of a service have the same secret in their database."""

    database: Database

    @cached_property
    def _secret(self) -> bytes:
        with tenancy.acting_for(tenancy.ALL), self.database.write() as session:
            return bytes.fromhex(_secret(session))

    def sign(self, sender: Principal, path: str, lifetime: timedelta) -> tuple[str, datetime]:
        """The signature of a path, and until when it is valid. That of tiles is valid for all tiles of their map.

        Raises `Invalid` for a path that cannot be signed.
        """
        if not SIGNABLE.fullmatch(path) or ".." in path:
            hint = "Give the path of a file, a picture or tiles, for instance /v1/predictions/ID/classes.tif."
            raise invalid("invalid-path", "No address of this path can be signed.", hint, "/path")
        tiles = _TILES.fullmatch(path)
        ends = now() + lifetime
        allowed = [tiles[1] if tiles else path, sender.tenant, sender.key_id, int(ends.timestamp())]
        body = _encoded(json.dumps(allowed).encode())
        return f"{body}.{self._mac(body)}", ends

    def check(self, signature: str, method: str, path: str) -> Principal:
        """Who asked for the signature, with the scope view. Raises `Refused` if it does not allow the request."""
        body, _, mac = signature.partition(".")
        if not hmac.compare_digest(mac.encode(), self._mac(body).encode()):
            raise Refused("unknown-signature")
        allowed, tenant, key_id, ends = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        inside = path == allowed or (allowed.endswith("/") and _TILES.fullmatch(path) and path.startswith(allowed))
        if method not in ("GET", "HEAD") or not inside:
            raise Refused("unknown-signature")
        if datetime.fromtimestamp(ends, UTC) <= now():
            raise Refused("expired-signature")
        return Principal(tenant, "view", key_id)

    def _mac(self, body: str) -> str:
        return _encoded(hmac.digest(self._secret, body.encode(), hashlib.sha256))


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _secret(session: Session) -> str:
    """The secret with which addresses are signed, which the first process that asks makes."""
    row = {"name": _NAME, "value": secrets.token_hex(32)}
    session.execute(INSERT[session.get_bind().dialect.name](Secret).values(row).on_conflict_do_nothing())
    return session.get_one(Secret, _NAME).value
