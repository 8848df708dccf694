"""Names of bands: the owner's, else the file's, else numbers."""

from collections.abc import Sequence

from rasterio.enums import ColorInterp

from ml.faults import Fault, InputRefused
from ml.geo.notes import Note
from ml.geo.source import RasterSource

MAX_NAME = 80
_SHORT = {"b": "blue", "g": "green", "r": "red", "n": "nir"}
_SILENT = {ColorInterp.undefined, ColorInterp.gray, ColorInterp.palette}


def canonical(name: str) -> str | None:
    """What a name means, for comparing: "R" is "red"; None for a number, which names nothing."""
    name = name.strip().lower()
    return None if name.isdecimal() else _SHORT.get(name, name)


def band_names(source: RasterSource, given: Sequence[str] | None) -> tuple[tuple[str, ...], tuple[Note, ...]]:
    """The name of each band, and what its owner should know about the bands.

    Without names of the owner's: the file's descriptions if all bands have one, else each band's colour, else its
    number from "1".

    Raises:
        InputRefused: bad_bands, the owner's names do not fit the file.
    """
    notes = tuple(_notes(source))
    if given is not None:
        _check(given, source)
        return tuple(name.strip() for name in given), notes
    descriptions = [(source.dataset.descriptions[i - 1] or "").strip()[:MAX_NAME] for i in source.indexes]
    if all(descriptions) and len(set(descriptions)) == len(descriptions):
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
