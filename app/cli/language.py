"""The language of what commands print for people: that of --lang, else that of the locale."""

import os
import sys
from itertools import pairwise

from app.language import choice
from app.language.catalogue import chinese

_STOPS = (".", "!", "?", ":", ";", "。", "！", "？", "：", "；")


def arguments() -> list[str]:
    """The arguments of the command line, without those behind "--", which are no options."""
    given = sys.argv[1:]
    return given[: given.index("--")] if "--" in given else given


def current() -> choice.Language:
    """The language of this command. It is English with --json, which programs read."""
    given = arguments()
    named = [following for option, following in pairwise(given) if option == "--lang"]
    named += [argument.removeprefix("--lang=") for argument in given if argument.startswith("--lang=")]
    if "--json" in given:
        return "en"
    return choice.of_environment({"LC_ALL": named[-1]} if named else os.environ)


def told(*sentences: str) -> str:
    """The sentences, one after the other, in the language of this command. Empty ones are left out."""
    english = current() == "en"
    said = [each if english else chinese(each) for each in sentences if each]
    stop, space = (".", " ") if english else ("。", "")
    return space.join([*(_ended(each, stop) for each in said[:-1]), *said[-1:]])


def _ended(sentence: str, stop: str) -> str:
    """A sentence that another one follows: with a stop, if it has none, as those of pydantic."""
    return sentence if sentence.endswith(_STOPS) else f"{sentence}{stop}"
