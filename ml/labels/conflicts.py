"""Overlaps between polygons of one layer that have different classes."""

import numpy as np
import shapely

from ml.contract import UNLABELLED
from ml.faults import Fault, InputRefused, Note, refuse_any
from ml.labels.features import MAX_FAULTS

TOLERATED = 0.1  # share of the smaller polygon's area; neighbours that were drawn by hand overlap a little
MAX_PAIRS = 5_000_000  # pairs of polygons whose bounding boxes overlap
_CHUNK = 1000  # polygons compared with all others in one step


def check_conflicts(geometries: np.ndarray, values: np.ndarray) -> tuple[Note, ...]:
    """Return a note if polygons of different classes overlap slightly; where they do, the later polygon counts.

    An unlabelled polygon contradicts no class, so it may overlap others as it likes.

    geometries: Valid polygons, shape (features,).
    values: Class value of each polygon, shape (features,).

    Raises:
        InputRefused: conflicting_labels if over a tenth of the smaller polygon lies in one of another class, or if
            millions of pairs of polygons have overlapping bounding boxes.
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
            detail = "Millions of pairs of polygons overlap."
            raise InputRefused(Fault("conflicting_labels", detail, "Dissolve the layer by class before you send it."))
        differing = (other > one) & (values[one] != values[other])
        one, other = one[differing], other[differing]
        shared = shapely.area(shapely.intersection(geometries[one], geometries[other]))
        smaller = np.minimum(shapely.area(geometries[one]), shapely.area(geometries[other]))
        labelled = (values[one] != UNLABELLED) & (values[other] != UNLABELLED)
        grave = labelled & (shared > TOLERATED * smaller)
        slight += int(((shared > 0) & ~grave).sum())
        for a, b in zip(one[grave][:MAX_FAULTS], other[grave][:MAX_FAULTS], strict=True):
            detail = f"Features {a + 1} (class {values[a]}) and {b + 1} (class {values[b]}) cover the same ground."
            faults.append(Fault("conflicting_labels", detail, "Remove one of the two features.", f"/features/{b}"))
        if len(faults) >= MAX_FAULTS:
            break
    refuse_any(faults[:MAX_FAULTS])
    if not slight:
        return ()
    detail = f"{slight} pairs of polygons of different classes overlap a little, or one of them is unlabelled."
    return (
        Note(
            code="overlapping_polygons", detail=detail, hint="Where they overlap, the later polygon in the file counts."
        ),
    )
