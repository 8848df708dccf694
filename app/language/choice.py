"""Which language a person reads."""

import re
from collections.abc import Mapping
from typing import Literal

Language = Literal["en", "zh"]
_RANGE = re.compile(r"\s*(?P<tag>[A-Za-z]{1,8})(?:-[A-Za-z0-9]{1,8})*\s*(?:;\s*q=(?P<q>[01](?:\.[0-9]{0,3})?)\s*)?")


def of_header(accept_language: str) -> Language:
    """The language of a request, by its header Accept-Language as in RFC 9110, 12.5.4. It is English if in doubt."""
    best, best_quality = "en", 0.0
    for item in accept_language.split(","):
        match = _RANGE.fullmatch(item)
        if match and match["tag"].lower() in ("en", "zh") and float(match["q"] or 1) > best_quality:
            best, best_quality = match["tag"].lower(), float(match["q"] or 1)
    return "zh" if best == "zh" else "en"


def of_environment(environment: Mapping[str, str]) -> Language:
    """The language of a terminal, by the first that is set of CANEMAP_LANG, LC_ALL, LC_MESSAGES and LANG."""
    names = ("CANEMAP_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
    named = next((environment[name] for name in names if environment.get(name)), "")
    return "zh" if named.lower().startswith("zh") else "en"
