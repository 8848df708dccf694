"""The text of a key: `cm_`, its id, and a secret that ends with a checksum, so that typing errors are noticed."""

import hashlib
import re
import secrets
import zlib

from app.core.names import ALPHABET

ID_LENGTH = 8
_SECRET = 37  # characters, of 62 each: 220 bits that nobody guesses
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
KEY = re.compile(rf"cm_([{ALPHABET}]{{{ID_LENGTH}}})_[0-9A-Za-z]{{43}}")


def new_key_id() -> str:
    """A new id of a key. It is no secret."""
    return "".join(secrets.choice(ALPHABET) for _ in range(ID_LENGTH))


def new_key(id_: str) -> str:
    """A new key with this id."""
    begin = f"cm_{id_}_" + "".join(secrets.choice(_DIGITS) for _ in range(_SECRET))
    return begin + _checksum(begin)


def id_in(key: str) -> str | None:
    """The id that a key names; None if this is the text of no key."""
    match = KEY.fullmatch(key)
    return match[1] if match and key.endswith(_checksum(key[:-6])) else None


def digest(key: str) -> str:
    """What is kept of a key: its sha256 in hex. The secret is random and long, so no slower hash is needed."""
    return hashlib.sha256(key.encode()).hexdigest()


def _checksum(text: str) -> str:
    """The CRC-32 of `text` in six digits of base 62."""
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits
