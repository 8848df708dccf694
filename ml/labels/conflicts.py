"""Polygons of one layer that give one place two classes."""

import numpy as np
import shapely

from ml.faults import Fault, InputRefused, Note, refuse_any
from ml.labels.features import MAX_FAULTS

TOLERATED = 0.1  # of the smaller polygon: neighbours drawn by hand overlap a little
MAX_PAIRS = 5_000_000
_CHUNK = 1000


def check_conflicts(geometries: np.ndarray, values: np.ndarray) -> tuple[Note, ...]:
    """A note of slight overlaps between polygons of different classes: there, the later one counts.

    geometries: valid polygons. values: class of each.

    Raises:
        InputRefused: conflicting_labels, over a tenth of a polygon lies in one of another class; or the polygons lie
            on each other in millions.
    """
    if len(np.unique(values)) == 1:
        return ()
    slight, faults, pairs = 0, list[Fault](), 0
    tree = shapely.STRtree(geometries)
    for start in range(0, len(geometries), _CHUNK):
        one, other = tree.query(geometries[start : start + _CHUNK])
        one = one + start
        pairs += len(one)
        if pairs > MAX_PAIRS + 50 * len(geometries):
            detail = "Millions of polygons lie on each other."
            raise InputRefused(Fault("conflicting_labels", detail, "Dissolve the layer by class before you send it."))
        wanted = (other > one) & (values[one] != values[other])
        one, other = one[wanted], other[wanted]
        shared = shapely.area(shapely.intersection(geometries[one], geometries[other]))
        smaller = np.minimum(shapely.area(geometries[one]), shapely.area(geometries[other]))
        grave = shared > TOLERATED * smaller
        slight += int(((shared > 0) & ~grave).sum())
        for a, b in zip(one[grave][:MAX_FAULTS], other[grave][:MAX_FAULTS], strict=True):
            detail = f"Features {a + 1} (class {values[a]}) and {b + 1} (class {values[b]}) lie on the same place."
            faults.append(Fault("conflicting_labels", detail, "Remove one of them.", f"/features/{b}"))
        if len(faults) >= MAX_FAULTS:
            break
    refuse_any(faults[:MAX_FAULTS])
    if not slight:
        return ()
    detail = f"{slight} pairs of polygons of different classes overlap a little."
    return (Note(code="overlapping_polygons", detail=detail, hint="There, the later one in the file counts."),)
