"""When two texts mean the same class: the texts of a layer were typed by people and exported by programs."""

import re
import unicodedata

from ml.labels.features import Value

# zero-width characters, marks of the writing direction, byte-order mark, soft hyphen; NUL pads the texts of a .dbf
_INVISIBLE = dict.fromkeys([0x00, 0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF])
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")


def plain(text: str) -> str:
    """Return a text as it is compared: composed (NFC), without invisible characters and without space around it.

    Letters of another case or width stay different, since they may be different classes.
    """
    return unicodedata.normalize("NFC", text.translate(_INVISIBLE)).strip()


def number(text: str) -> str | None:
    """Return the shortest form of a number, "1" for "1.0"; None for any other text, and for "01", which is a code."""
    if not _NUMBER.fullmatch(text):
        return None
    short = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if short == "-0" else short


def similar(text: str) -> str:
    """Return what is left of a text without case, width and spaces: texts that have this in common look alike."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def text_of(value: Value) -> str:
    """Return the value of an attribute as `plain` text: "6" for 6.0, and "" for None."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return plain(str(value))
