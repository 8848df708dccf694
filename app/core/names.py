"""Names that users give, and ids that canemap makes."""

import re
import secrets
import time

from app.core.errors import invalid
from app.requests import storable

NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,79}")
ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._:-]{0,99}")  # a name, what `new_id` gives, or "name:version"
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no letter is taken for a digit


def check_name(name: str, pointer: str = "/id") -> str:
    """`name`, if it may name an uploaded thing; else `Invalid`."""
    if NAME.fullmatch(name):
        return name
    raise invalid(
        "invalid-name",
        "The name has characters that a name cannot have, or it is empty, too long or starts with a dot.",
        "Use 1 to 80 of the letters A-Z a-z, digits, dot, underscore and hyphen, and no dot in front.",
        pointer,
    )


def printable(text: str, pointer: str) -> str:
    """`text`, if it is storable; else `Invalid`."""
    try:
        return storable(text)
    except ValueError as error:
        raise invalid("invalid-text", "There are control characters in it.", "Take them out.", pointer) from error


def new_id(prefix: str) -> str:
    """An id like "trn_06d8t3...": sorts by time of creation, cannot be guessed."""
    milliseconds = int(time.time() * 1000)
    number = (milliseconds << 60) | secrets.randbits(60)
    digits = (_ALPHABET[(number >> shift) & 31] for shift in range(100, -1, -5))
    return f"{prefix}_{''.join(digits)}"
