"""When two texts mean the same class: the texts of a layer were typed by people and exported by programs."""

import re
import unicodedata

from ml.labels.features import Value

# zero-width characters, marks of the writing direction, byte-order mark, soft hyphen; NUL pads the texts of a .dbf
_INVISIBLE = dict.fromkeys([0x00, 0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF])
_ANY_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]{1,2})?")
# what programs and people write where a value is missing, without case, width and spaces
_MISSING = {
    *("null", "<null>", "(null)", "nil", "none", "nan", "na", "<na>", "n/a", "#n/a", "nat", "\\n", "nodata"),
    *("unknown", "undefined", "-", "--", "?", "未知", "不详", "不明", "无", "空", "缺失"),
}
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
    """Return what texts that look alike have in common: a text without case, width and spaces, or a number's value."""
    bare = "".join(unicodedata.normalize("NFKC", text).casefold().split())
    return f"{float(bare):.15g}" if _ANY_NUMBER.fullmatch(bare) else bare


def sounds_missing(text: str) -> bool:
    """Whether a text is one that programs or people write where a value is missing, like "<Null>"."""
    return similar(text) in _MISSING


def holds(text: str, key: str) -> bool:
    """Whether a text has `key` in it, as "ratoon cane" has "cane"; a key must have two letters at least."""
    part = similar(key)
    return len(part) > 1 and not _ANY_NUMBER.fullmatch(part) and part in similar(text)


def text_of(value: Value) -> str:
    """Return the value of an attribute as `plain` text: "6" for 6.0, and "" for None."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return plain(str(value))
