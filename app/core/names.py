"""Names that users choose, and ids that canemap makes."""

import re
import secrets
import time

from pydantic import BaseModel

from app.core.errors import invalid
from ml.faults import Fault, InputRefused
from ml.text import is_storable, values_in

NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,79}")
ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._:-]{0,99}")  # a name, an id from `new_id`, or "name:version"
MODEL = re.compile(rf"(?:{NAME.pattern}~)?{ID.pattern}")  # of another tenant: "province~cane"
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no letter can be mistaken for a digit


def check_name(name: str, pointer: str = "/id", example: str = "wuming-2018") -> str:
    """Return `name` if an uploaded file may have it; otherwise raise `Invalid`. example: A name that it may have."""
    if NAME.fullmatch(name):
        return name
    raise invalid(
        "invalid-name",
        "The name has characters that are not allowed in a name, or it is empty, too long or starts with a dot.",
        "Use 1 to 80 of the letters A-Z a-z, digits, dot, underscore and hyphen; the first must not be a dot. "
        f"For instance {example}; the other name can be its title.",
        pointer,
    )


def check_texts(found: BaseModel, what: str) -> None:
    """Raise `InputRefused` if a text that was found in a file cannot be stored. what: where it stands, in words."""
    if not all(is_storable(text) for _, text in values_in(found.model_dump()) if isinstance(text, str)):
        hint = "Remove them from the attributes of the file, and export it again."
        raise InputRefused(Fault("invalid_text", f"Texts of {what} hold control characters.", hint))


def new_id(prefix: str) -> str:
    """A new id like "trn_06d8t3...". Ids of one prefix sort by the time of creation, and cannot be guessed."""
    milliseconds = int(time.time() * 1000)
    number = (milliseconds << 60) | secrets.randbits(60)
    digits = (ALPHABET[(number >> shift) & 31] for shift in range(100, -1, -5))
    return f"{prefix}_{''.join(digits)}"
