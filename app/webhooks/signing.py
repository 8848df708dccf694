"""Secrets and signatures of webhooks, as Standard Webhooks 1.0.0 has them (https://www.standardwebhooks.com)."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable

PREFIX = "whsec_"
SECRET_BYTES = 32  # the specification asks for 24 to 64


def new_secret() -> str:
    """A new secret, like "whsec_MfKQ..."."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signature(secret: str, id_: str, timestamp: int, body: str) -> str:
    """The signature of one message with one secret: "v1," and an HMAC (RFC 2104) with SHA-256 in base 64.

    id_: Of the event. timestamp: When this attempt is made, in whole seconds since 1970 UTC.
    """
    signed = f"{id_}.{timestamp}.{body}".encode()
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def headers(keys: Iterable[str], id_: str, timestamp: int, body: str) -> dict[str, str]:
    """The headers that say what was signed, when, and with which secrets: one signature for each of `keys`."""
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(key, id_, timestamp, body) for key in keys),
    }
