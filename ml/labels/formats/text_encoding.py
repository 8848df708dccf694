"""The encoding of the text in a .dbf file, which three things can tell: a .cpg file, a language id, the text itself."""

import codecs
from collections.abc import Iterable
from itertools import islice

from ml.labels.features import TextEncoding

_JUDGED = 10_000  # texts by which an encoding is guessed
_HIGH = 0xA1  # both bytes of a character of GB 2312 are at least this
MAX_CPG_BYTES = 64  # the name of an encoding is shorter
# Encodings that a .dbf file can have, by Python's names, and the wider one that is read in their place
_WIDER = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "cp950",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "tis-620": "cp874",
    "ascii": "utf-8",
}
_PAGES = (437, 737, 775, *range(850, 853), 855, *range(857, 859), *range(860, 867), 869, 874, 932, 949, 950)
_ALLOWED = {
    *("utf-8", "gb18030", "big5hkscs", "euc_jp", "johab", "koi8-r", "koi8-u"),
    *(f"cp{page}" for page in (*_PAGES, *range(1250, 1259))),
    *(f"iso8859-{part}" for part in range(1, 17)),
    *("mac-roman", "mac-cyrillic", "mac-greek", "mac-latin2", "mac-turkish"),
}
_NUMBERS = {"65001": "utf-8", "936": "gbk", "54936": "gb18030", "10000": "mac-roman", "28591": "iso8859-1"}
# by byte 29 of the .dbf file; without 0x57, "ANSI", which means the code page of the machine that wrote the file
_LANGUAGE_IDS = {
    **dict.fromkeys((0x01, 0x09, 0x0B, 0x0D, 0x0F, 0x11, 0x15, 0x18, 0x19, 0x1B), "cp437"),
    **dict.fromkeys((0x02, 0x0A, 0x0E, 0x10, 0x12, 0x14, 0x16, 0x1A, 0x1D, 0x25, 0x37), "cp850"),
    **dict.fromkeys((0x03, 0x58, 0x59), "cp1252"),
    **dict.fromkeys((0x08, 0x17, 0x66), "cp865"),
    **dict.fromkeys((0x1F, 0x22, 0x23, 0x40, 0x64, 0x87), "cp852"),
    **dict.fromkeys((0x13, 0x7B), "cp932"),
    **dict.fromkeys((0x4D, 0x7A), "gb18030"),
    **dict.fromkeys((0x4E, 0x79), "cp949"),
    **dict.fromkeys((0x4F, 0x78), "cp950"),
    **dict.fromkeys((0x50, 0x7C), "cp874"),
    **dict.fromkeys((0x1C, 0x6C), "cp863"),
    **dict.fromkeys((0x26, 0x65), "cp866"),
    **dict.fromkeys((0x6A, 0x86), "cp737"),
    **dict.fromkeys((0x6B, 0x88), "cp857"),
    0x24: "cp860",
    0x67: "cp861",
    0x7D: "cp1255",
    0x7E: "cp1256",
    0xC8: "cp1250",
    0xC9: "cp1251",
    0xCA: "cp1254",
    0xCB: "cp1253",
    0xCC: "cp1257",
    0x04: "mac-roman",
    0x96: "mac-cyrillic",
    0x97: "mac-latin2",
    0x98: "mac-greek",
}


def encoding_of(cpg: bytes, language_id: int, texts: Iterable[bytes]) -> TextEncoding:
    """Return the encoding of the text in a .dbf file, and what told it.

    cpg: Contents of the .cpg file; empty if there is none.
    language_id: Byte 29 of the .dbf file.
    texts: Texts of the records. Texts that a narrow column cut in the middle of a character may be among them.
    """
    if name := named_encoding(cpg):
        return TextEncoding(name=name, found_by="cpg")
    if name := _LANGUAGE_IDS.get(language_id):
        return TextEncoding(name=name, found_by="language_id")
    judged = islice((text for text in texts if not text.isascii()), _JUDGED)
    return TextEncoding(name=_guessed(list(judged)), found_by="text")


def decoded(content: bytes) -> str:
    """Return the text of a file that names no encoding.

    A byte-order mark tells UTF-16 or UTF-8, and is left out; without one the encoding is guessed. Bytes that are no
    text in the encoding become U+FFFD.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    plain = content.removeprefix(codecs.BOM_UTF8)
    return plain.decode(encoding_of(b"", 0, [plain]).name, "replace")


def looks_like_utf_8(texts: Iterable[bytes]) -> bool:
    """Whether there are texts beyond ASCII, and all of them are UTF-8."""
    judged = list(islice((text for text in texts if not text.isascii()), _JUDGED))
    return bool(judged) and all(_decodes(text, "utf-8") for text in judged)


def named_encoding(cpg: bytes) -> str | None:
    """Return Python's name of the encoding that a .cpg file names in any spelling; None if it names no known one."""
    start = cpg[:MAX_CPG_BYTES].removeprefix(codecs.BOM_UTF8)
    text = start.split(b"\n")[0].decode("ascii", "replace").strip().strip("\0").lower()
    if text.startswith("ldid/") and text[5:].isdecimal():
        return _LANGUAGE_IDS.get(int(text[5:]))
    for prefix in ("ansi ", "oem ", "cp", "windows-", "ms"):
        text = text.removeprefix(prefix)
    text = text.strip(" -_")
    compact = text.replace("iso", "").replace("-", "").replace("_", "").replace(" ", "")
    if compact.startswith("8859") and compact.isdecimal() and len(compact) > 4:
        text = f"iso8859-{compact[4:]}"
    number = _NUMBERS.get(text, f"cp{text}" if text.isdecimal() else text)
    return _allowed(number)


def _allowed(text: str) -> str | None:
    if not text.isascii() or not text or "\0" in text:
        return None
    try:
        name = codecs.lookup(text).name
    except (LookupError, ValueError):
        return None
    name = _WIDER.get(name, name)
    return name if name in _ALLOWED else None


def _guessed(texts: list[bytes]) -> str:
    """Return the encoding in which all texts make sense: UTF-8, GB 18030, or the code page of Western Windows.

    High bytes of Chinese come in pairs, most of them characters of GB 2312; those of Western text come one by one, or
    as pairs within a word ("açúcar"), where Chinese has no single character.
    """
    if all(_decodes(text, "utf-8") for text in texts):
        return "utf-8"
    if all(_decodes(text, "gb18030") for text in texts):
        words = [_characters(text) for text in texts]
        pairs = sum(sum(len(one) == 2 and min(one) >= _HIGH for one in word) - _between_letters(word) for word in words)
        if 2 * pairs > sum(not one.isascii() for word in words for one in word):
            return "gb18030"
    return "cp1252"


def _decodes(text: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)().decode(text)  # a last character may lack its end
    except UnicodeDecodeError:
        return False
    return True


def _between_letters(characters: list[bytes]) -> int:
    """Return the number of pairs that stand between two letters of ASCII."""
    each = zip(characters, characters[1:], characters[2:], strict=False)
    return sum(one.isalpha() and len(pair) == 2 and min(pair) >= _HIGH and other.isalpha() for one, pair, other in each)


def _characters(text: bytes) -> list[bytes]:
    """Return the bytes of each character of a text in GB 18030."""
    decoded = codecs.getincrementaldecoder("gb18030")().decode(text)
    return [character.encode("gb18030") for character in decoded]
