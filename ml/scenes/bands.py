"""Names of bands: from the scene's owner, otherwise from the file, otherwise numbers."""

import re
from collections.abc import Sequence

from rasterio.enums import ColorInterp

from ml.faults import Fault, InputRefused, Note
from ml.scenes.source import RasterSource

MAX_NAME = 80  # characters
_UNNAMED_COLOURS = {ColorInterp.undefined, ColorInterp.gray, ColorInterp.palette}
_SHORT = {"b": "blue", "g": "green", "r": "red", "n": "nir"}
_CHINESE = {
    "海岸": "coastal",
    "蓝": "blue",
    "绿": "green",
    "黄": "yellow",
    "红": "red",
    "红边": "rededge",
    "近红外": "nir",
    "短波红外": "swir",
    "全色": "pan",
    "热红外": "thermal",
    "卷云": "cirrus",
}
_CHINESE_NAME = re.compile(r"(?:b0?(\d{1,2}a?))?(" + "|".join(_CHINESE) + r")(\d?)[光色]?(?:波段)?")
# spectral regions that a band code has on any common sensor; codes that are not listed may have any
_REGIONS = {
    "1": {"coastal", "blue", "green", "red", "pan"},
    "2": {"blue", "green", "red", "nir"},
    "3": {"blue", "green", "red", "nir"},
    "4": {"green", "yellow", "red", "rededge", "nir", "swir"},
    "6": {"green", "red", "rededge", "swir", "thermal"},
    "7": {"coastal", "red", "rededge", "nir", "swir"},
    "8": {"yellow", "nir", "pan"},
    "8a": {"nir"},
    "10": {"cirrus", "thermal"},
    "11": {"swir", "thermal"},
    "12": {"swir"},
}
# "B02", "blue", "B02 blue", "Red edge 1": a sensor's band code, a spectral region, or both
_BAND_NAME = re.compile(
    r"(?:b0?(\d{1,2}a?))?((?:coastal|blue|green|yellow|red|rededge|nir|swir|pan|thermal|cirrus)\d?)?"
)


def same_band(one: str, other: str) -> bool:
    """Return whether two names may mean the same band: "B02 blue" matches "b" and "B2".

    A number has no meaning, so it matches every name. If both names have a spectral region, the regions must be equal;
    otherwise, if both have a band code, the codes must be equal. A code alone matches each region alone that it has on
    some sensor: "B04" is red or near infrared, but never blue. Any other word matches only itself, in upper or lower
    case.
    """
    if one.isdecimal() or other.isdecimal():
        return True
    (code, region), (other_code, other_region) = _meaning(one), _meaning(other)
    if region and other_region:
        return region == other_region
    if code and other_code:
        return code == other_code
    known, other_known = bool(code or region), bool(other_code or other_region)
    if known and other_known:
        return _may_be(code or other_code or "", region or other_region or "")
    return not known and not other_known and one.casefold() == other.casefold()


def _may_be(code: str, region: str) -> bool:
    """Whether a band with a code may have a spectral region, which may end with a number: "nir2"."""
    return code not in _REGIONS or region.rstrip("0123456789") in _REGIONS[code]


def can_be_compared(one: str, other: str) -> bool:
    """Whether two names that may mean the same band say so: both have a region, or a code, or are the same word."""
    if one.isdecimal() or other.isdecimal():
        return False
    (code, region), (other_code, other_region) = _meaning(one), _meaning(other)
    return bool((region and other_region) or (code and other_code)) or one.casefold() == other.casefold()


def telling(names: Sequence[str]) -> int:
    """Return a score of how much the names of a scene's bands tell.

    A spectral region scores more than a band code, and a code more than another word. Numbers score 0: they match
    every name, so two scenes that both match a numbered scene may still contradict each other.
    """
    meanings = [_meaning(name) for name in names if not name.isdecimal()]
    return sum(1 + bool(code) + 2 * bool(region) for code, region in meanings)


def in_true_colour(names: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers, from 0, of the bands in which a scene is shown to people.

    They are the bands red, green and blue, if the names say which these are; otherwise the first three bands, and of
    fewer than three the first.
    """
    regions = [_meaning(name)[1] for name in names]
    colours = ("red", "green", "blue")
    if all(colour in regions for colour in colours):
        return tuple(map(regions.index, colours))
    return (0, 1, 2) if len(names) > 2 else (0,)


def find_band(names: Sequence[str], wanted: str) -> int | None:
    """Return the number, from 0, of the band with a name, or else with a number from 1; None if there is none.

    Upper and lower case are the same, unless the names of two bands differ by nothing else.
    """
    text = wanted.strip()
    if text in names:
        return names.index(text)
    alike = [number for number, name in enumerate(names) if name.casefold() == text.casefold()]
    if len(alike) == 1:
        return alike[0]
    number = int(text) if text.isdecimal() and text.isascii() and len(text) < 4 else 0
    return number - 1 if 1 <= number <= len(names) else None


def _meaning(name: str) -> tuple[str | None, str | None]:
    """Return the band code and the spectral region in a name, each None if absent."""
    letters = re.sub(r"[\W_]+", "", name.casefold())
    if chinese := _CHINESE_NAME.fullmatch(letters):
        return chinese[1], _CHINESE[chinese[2]] + chinese[3]
    match = _BAND_NAME.fullmatch(_SHORT.get(letters, letters))
    return (match[1], match[2]) if match else (None, None)


def band_names(source: RasterSource, declared: Sequence[str] | None) -> tuple[tuple[str, ...], tuple[Note, ...]]:
    """Return the name of each band, and notes about the bands for the scene's owner.

    declared: Names that the owner declared, one per band; if alpha has one too, it is a band. If `declared` is None,
        the names are the file's descriptions if they are distinct and each contains a band code or a spectral region
        (many files describe dates or processing steps instead); otherwise the colours of the bands,
        with numbers for bands without a colour, if these are distinct; otherwise the numbers from "1".

    Raises:
        InputRefused: no_bands if every band is alpha; bad_bands if the declared names do not fit the file.
    """
    if not source.bands:
        hint = f"If it is measured: {_as_band(source)}"
        raise InputRefused(Fault("no_bands", "Every band of the image is alpha, which is a mask.", hint))
    notes = tuple(_notes(source))
    if declared is not None:
        _check(declared, source)
        return tuple(name.strip() for name in declared), notes
    descriptions = [text[:MAX_NAME] for text in source.descriptions]
    if all(any(_meaning(text)) for text in descriptions) and len(set(descriptions)) == len(descriptions):
        return tuple(descriptions), notes
    colors = [source.dataset.colorinterp[i - 1] for i in source.indexes]
    named = [str(n) if color in _UNNAMED_COLOURS else color.name.lower() for n, color in enumerate(colors, 1)]
    names = named if len(set(named)) == len(named) else [str(n) for n in range(1, len(colors) + 1)]
    return tuple(names), notes


def _check(declared: Sequence[str], source: RasterSource) -> None:
    names = [name.strip() for name in declared]
    if len(names) != source.bands:
        beside = " beside alpha, which is a mask" if source.bands < source.dataset.count else ""
        detail = f"There are {len(names)} names for {source.bands} bands{beside}."
        hint = "Name each band once, in order. Alpha is a mask without a name; if all bands are named, it is a band."
        raise InputRefused(Fault("bad_bands", detail, hint, "/bands"))
    if len(set(names)) < len(names) or not all(0 < len(name) <= MAX_NAME and name.isprintable() for name in names):
        detail = "Two bands have the same name, or a name is empty, too long or not printable."
        raise InputRefused(Fault("bad_bands", detail, f"Use distinct names of 1 to {MAX_NAME} characters.", "/bands"))


def _as_band(source: RasterSource) -> str:
    """Return what the owner can do if alpha is a measured band."""
    alpha = source.dataset.colorinterp.index(ColorInterp.alpha) + 1
    edit = f"gdal_edit.py -colorinterp_{alpha} undefined in.tif"
    return f"name all {source.dataset.count} bands with bands=, or say so in the file: {edit}"


def _notes(source: RasterSource) -> list[Note]:
    notes = []
    alphas = source.dataset.colorinterp.count(ColorInterp.alpha)
    if source.bands < source.dataset.count:
        detail = f"{alphas} of {source.dataset.count} bands is alpha, which is used as a mask."
        hint = f"If it is a measured band, like near infrared: {_as_band(source)}"
        notes.append(Note(code="alpha_is_mask", detail=detail, hint=hint))
    elif alphas:
        detail = f"{alphas} of {source.dataset.count} bands is alpha, which is used as a band, since it has a name."
        hint = "If it is a mask, name the other bands only."
        notes.append(Note(code="alpha_is_band", detail=detail, hint=hint))
    if source.dataset.colorinterp[0] == ColorInterp.palette:
        hint = "Send the image with its measured bands instead of palette indices."
        notes.append(Note(code="palette", detail="The pixels are indices of colours in a palette.", hint=hint))
    return notes
