"""Check whether one binary confusion can have the accuracy, IoU and kappa of a table: two nearly fix the third."""

from ml.frozen import Frozen

_SLACK = 1e-12  # allows for the difference between floats and the decimals they represent


class Consistency(Frozen):
    """Whether three printed metrics can come from one confusion.

    possible: Whether the printed kappa is in `kappa_range`, with allowance for rounding. kappa_range: Lowest and
    highest kappa that accuracy and IoU allow, or None if these two already contradict each other. statement: The result
    as text for people.
    """

    possible: bool
    kappa_range: tuple[float, float] | None
    statement: str


def check(accuracy: float, iou: float, kappa: float, decimals: int = 4) -> Consistency:
    """Check whether some 2 x 2 confusion has these three metrics, which are rounded to `decimals` decimals.

    In shares of all pixels, with e = fp + fn = 1 - accuracy, iou = tp / (tp + e) gives tp = iou * e / (1 - iou) and tn
    = 1 - tp - e, which would be negative for an IoU above the accuracy. Only the division of e into fp and fn is
    unknown, and kappa = 1 - e / (tp + fp + tp + fn - 2 (tp + fp)(tp + fn)) is lowest where they are equal and highest
    where one of them is 0.

    Raises:
        ValueError: Accuracy or IoU is outside 0 to 1, or kappa is outside -1 to 1.
    """
    if not (0 <= accuracy <= 1 and 0 <= iou <= 1 and -1 <= kappa <= 1):
        raise ValueError("accuracy and iou must lie between 0 and 1, kappa between -1 and 1")
    half = 0.5 * 10.0**-decimals + _SLACK
    pair = f"an accuracy of {accuracy:.{decimals}f} and an IoU of {iou:.{decimals}f}"
    wrong = max(0.0, 1 - accuracy - half), min(1.0, 1 - accuracy + half)
    ious = max(0.0, iou - half), min(1.0, iou + half, 1 - wrong[0])
    if ious[0] > ious[1]:
        statement = f"No confusion has {pair}: an IoU is never above the accuracy."
        return Consistency(possible=False, kappa_range=None, statement=statement)
    low, high = _lowest(wrong, ious), _highest(wrong, ious)
    possible = low - half <= kappa <= high + half
    verdict = "is possible" if possible else "cannot come from the same confusion"
    shown = f"[{low:.{decimals + 1}f}, {high:.{decimals + 1}f}]"
    statement = f"With {pair}, kappa lies in {shown}: a kappa of {kappa:.{decimals}f} {verdict}."
    return Consistency(possible=possible, kappa_range=(low, high), statement=statement)


def _lowest(wrong: tuple[float, float], ious: tuple[float, float]) -> float:
    """The lowest kappa for any e in `wrong` and IoU in `ious`.

    It falls as e grows to its end or to tn = 0, where e = 1 - iou; along either line it is lowest at an end.
    """
    corner = min(max(1 - wrong[1], ious[0]), ious[1])
    return min(_if_equal(min(wrong[1], 1 - iou), iou) for iou in (*ious, corner))


def _highest(wrong: tuple[float, float], ious: tuple[float, float]) -> float:
    """The highest kappa for any e in `wrong` and IoU in `ious`.

    It lies at the lowest e, and at an end of `ious` or where the shares of class 1 in truth and map add up to 1.
    """
    top = min(max((1 - wrong[0]) / (1 + wrong[0]), ious[0]), ious[1])
    return max(_if_one_sided(wrong[0], iou) for iou in (*ious, top))


def _if_equal(e: float, iou: float) -> float:
    """Kappa with fp = fn = e / 2, from its formula divided by e; at e = 0 it is the limit for a very rare class 1."""
    if iou == 1:
        return 1.0
    both = (1 + iou) / (1 - iou)  # (2 tp + e) / e
    return 1 - 1 / (both - e * both**2 / 2)


def _if_one_sided(e: float, iou: float) -> float:
    """Kappa with fp = e and fn = 0, or with fp = 0 and fn = e, from its formula divided by e."""
    if iou == 1:
        return 1.0
    both = (1 + iou) / (1 - iou)
    return 1 - 1 / (both - 2 * e * iou / (1 - iou) ** 2)  # iou / (1 - iou)^2 = tp (tp + e) / e^2
