"""Names of bands: the owner's, else the file's, else numbers."""

import re
from collections.abc import Sequence

from rasterio.enums import ColorInterp

from ml.faults import Fault, InputRefused, Note
from ml.scenes.source import RasterSource

MAX_NAME = 80
_SILENT = {ColorInterp.undefined, ColorInterp.gray, ColorInterp.palette}
_SHORT = {"b": "blue", "g": "green", "r": "red", "n": "nir"}
# "B02", "blue", "B02 blue", "Red edge 1": a sensor's code, a part of the spectrum, or both
_TELLING = re.compile(r"(?:b0?(\d{1,2}a?))?((?:coastal|blue|green|yellow|red|rededge|nir|swir|pan|thermal|cirrus)\d?)?")


def same_band(one: str, other: str) -> bool:
    """Whether two names may mean one band: not if both say what they are, and say different things.

    "B02 blue" is "b" and "B2"; a number names nothing, so it may be anything; of a code nobody knows the colour.
    """
    if one.isdecimal() or other.isdecimal():
        return True
    (code, part), (other_code, other_part) = _meaning(one), _meaning(other)
    if part and other_part:
        return part == other_part
    if code and other_code:
        return code == other_code
    known, other_known = bool(code or part), bool(other_code or other_part)
    return known and other_known if known or other_known else one.casefold() == other.casefold()


def telling(names: Sequence[str]) -> int:
    """How much the names of a scene's bands say: a part of the spectrum more than a code, that more than other words.

    Numbers say nothing: they fit every name, so that two scenes which fit a third one by its numbers may contradict.
    """
    meanings = [_meaning(name) for name in names if not name.isdecimal()]
    return sum(1 + bool(code) + 2 * bool(part) for code, part in meanings)


def _meaning(name: str) -> tuple[str | None, str | None]:
    """A sensor's code and the part of the spectrum that a name tells of."""
    letters = re.sub(r"[\W_]+", "", name.casefold())
    match = _TELLING.fullmatch(_SHORT.get(letters, letters))
    return (match[1], match[2]) if match else (None, None)


def band_names(source: RasterSource, given: Sequence[str] | None) -> tuple[tuple[str, ...], tuple[Note, ...]]:
    """The name of each band, and what its owner should know about the bands.

    Without names of the owner's: the file's descriptions if all tell of bands (many hold names of files, processing
    steps, dates), else each band's colour, else its number from "1".

    Raises:
        InputRefused: bad_bands, the owner's names do not fit the file.
    """
    notes = tuple(_notes(source))
    if given is not None:
        _check(given, source)
        return tuple(name.strip() for name in given), notes
    descriptions = [text[:MAX_NAME] for text in source.descriptions]
    if all(any(_meaning(text)) for text in descriptions) and len(set(descriptions)) == len(descriptions):
        return tuple(descriptions), notes
    colors = [source.dataset.colorinterp[i - 1] for i in source.indexes]
    named = [str(n) if color in _SILENT else color.name.lower() for n, color in enumerate(colors, 1)]
    names = named if len(set(named)) == len(named) else [str(n) for n in range(1, len(colors) + 1)]
    return tuple(names), notes


def _check(given: Sequence[str], source: RasterSource) -> None:
    names = [name.strip() for name in given]
    if len(names) != source.bands:
        detail = f"{len(names)} names for {source.bands} bands."
        hint = "Name each band once, in order; an alpha band is a mask and has no name."
        raise InputRefused(Fault("bad_bands", detail, hint))
    if len(set(names)) < len(names) or not all(0 < len(name) <= MAX_NAME and name.isprintable() for name in names):
        raise InputRefused(Fault("bad_bands", "Two bands have one name, or a name is empty or too long.", "Rename."))


def _notes(source: RasterSource) -> list[Note]:
    notes = []
    if source.bands < source.dataset.count:
        detail = f"{source.dataset.count - source.bands} of {source.dataset.count} bands is alpha: a mask, not a band."
        notes.append(Note(code="alpha_is_mask", detail=detail))
    if source.dataset.colorinterp[0] == ColorInterp.palette:
        hint = "Send the image with its measured bands."
        notes.append(Note(code="palette", detail="The pixels are numbers of colours in a palette.", hint=hint))
    return notes
