"""What a report says about a change of datum: which operation was used, and how far places may be off."""

from ml.faults import Note
from ml.frozen import Frozen
from ml.geo.operations import Box, Operation

_GOOD_M = 2.0  # no note about operations that are at least this exact
_HINT = "Transform the data to WGS 84 or CGCS2000 with the parameters of your survey office before you send them."


class DatumShift(Frozen):
    """The operation by which a layer or a scene changes its datum.

    name: Name of the operation in the database of PROJ.
    accuracy_m: Largest error to expect, in metres; None if it is unknown.
    inside: Whether all places lie in the area for which the operation was made; the accuracy holds only there.
    """

    name: str
    accuracy_m: float | None
    inside: bool


def datum_shift(used: Operation, box: Box) -> DatumShift | None:
    """Return the change of datum that an operation makes; None if it makes none.

    box: Where the places lie, in degrees of WGS 84.
    """
    if used.accuracy_m == 0:
        return None
    return DatumShift(name=used.name, accuracy_m=used.accuracy_m, inside=used.covers(box))


def datum_notes(used: Operation, box: Box, what: str) -> tuple[Note, ...]:
    """Return a note if an operation may put places wrong by more than two metres.

    what: What changes its datum, as the beginning of a sentence: "The layer is in Xian 1980".
    """
    if used.ballpark:
        detail = (
            f"{what}, and no operation to the other datum is known, so both datums are taken as equal. The accuracy is "
            "unknown: places may be wrong by up to 100 m."
        )
        return (Note(code="unknown_datum_shift", detail=detail, hint=_HINT),)
    inside = used.covers(box)
    if used.accuracy_m is None or (inside and used.accuracy_m <= _GOOD_M and not used.better):
        return ()  # without an accuracy, the numbers come from the file itself
    area = "" if inside else ", but not everything lies in the area for which it was made, so it may be worse"
    better = f" {used.better!r} would be more exact, but its grid is not installed." if used.better else ""
    detail = f"{what}. The operation {used.name!r} is exact to {used.accuracy_m:g} m{area}.{better}"
    return (Note(code="inexact_datum_shift", detail=detail, hint=_HINT),)
