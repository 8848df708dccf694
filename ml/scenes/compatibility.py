"""Checks whether a scene can be used with a model, or together with another scene."""

from collections.abc import Iterator

from ml.contract import BandStatistics, Contract, Scaling
from ml.faults import Fault, Note
from ml.scenes.bands import can_be_compared, same_band
from ml.scenes.inspect import SceneInfo

GSD_RATIO = 1.5  # largest ratio of two ground sampling distances that fit each other
_SURE = 10  # a largest value above it, if whole, is that of a band without a scale
_FAR = 5  # standard deviations of the training
_MOST_BANDS = 12  # that a note lists
_ALIKE = ({"float16", "float32", "float64"}, {"int16", "uint16"})


def contract_of(info: SceneInfo) -> Contract:
    """Return the contract for scenes that are used together with this one, without statistics and classes."""
    names = tuple(band.name for band in info.bands)
    scaling = tuple(band.scaling for band in info.bands if band.scaling is not None)
    known = scaling if len(scaling) == len(names) else ()
    return Contract(bands=names, dtype=info.dtype, gsd=info.gsd, nodata=info.nodata, statistics=(), scaling=known)


SAME_BANDS = "Send the same bands in the same order, or correct the names of the bands."


def contract_faults(info: SceneInfo, contract: Contract, owner: str = "the model was trained on") -> tuple[Fault, ...]:
    """Return a fault for each reason why a scene does not fit an input contract.

    owner: Words that precede the contract's values in each message, like "the model was trained on".

    The codes are wrong_bands if the number of bands differs, or the names differ in a place where both sides have
    meaningful names; wrong_dtype if the types of pixels differ, where all float types are alike, and int16 and
    uint16 are alike; scale_mismatch if one side declares a scale or an offset for a band and the other none;
    bad_resolution if the ground sampling distances differ by a factor of over 1.5.
    """
    return tuple(_faults(info, contract, owner))


def _faults(info: SceneInfo, contract: Contract, owner: str) -> Iterator[Fault]:
    names = tuple(band.name for band in info.bands)
    if not same_bands(names, contract.bands):
        alpha = " beside alpha, which is a mask" if any(note.code == "alpha_is_mask" for note in info.warnings) else ""
        theirs = f"{owner} {len(contract.bands)} ({listed(contract.bands)})"
        yield Fault(
            "wrong_bands",
            f"The scene has {len(names)} bands ({listed(names)}){alpha}; {theirs}.",
            f"{SAME_BANDS} If alpha is a measured band, name all bands with bands=." if alpha else SAME_BANDS,
        )
    if not _alike(info.dtype, contract.dtype):
        theirs = f"{owner} {contract.dtype}"
        detail = f"The scene's pixels are {info.dtype}; {theirs}."
        yield Fault("wrong_dtype", detail, "Send the same product, without rescaling its values.")
    yield from _scale_faults(info, contract, owner)
    if not 1 / GSD_RATIO <= info.gsd / contract.gsd <= GSD_RATIO:
        theirs = f"{owner} {contract.gsd:.4g} m"
        detail = f"The scene has pixels of {info.gsd:.4g} m; {theirs}."
        hint = f"Resample the scene: gdalwarp -tr {contract.gsd:.4g} {contract.gsd:.4g} in.tif out.tif (in metres)"
        yield Fault("bad_resolution", detail, hint)


def _scale_faults(info: SceneInfo, contract: Contract, owner: str) -> Iterator[Fault]:
    """Yield scale_mismatch for the first band of which one side has physical units and the other plain numbers.

    Where both declare a scale or an offset, they may differ: pixels are used in physical units.
    """
    for band, expected in zip(info.bands, scaling_of(contract), strict=False):
        if band.scaling is None or expected is None or band.scaling.declared == expected.declared:
            continue
        theirs = f"{owner} {_numbers(expected)}"
        detail = f"Band {band.name} of the scene has {_numbers(band.scaling)}; {theirs}."
        if expected.declared:
            mend = f"gdal_edit.py -scale {expected.scale!r} -offset {expected.offset!r} in.tif"
            hint = f"If its numbers mean the same, declare it: {mend}"
        else:
            hint = "If its numbers mean the same, take them off: gdal_edit.py -scale 1 -offset 0 in.tif"
        yield Fault("scale_mismatch", detail, hint)
        return


def _numbers(scaling: Scaling) -> str:
    if not scaling.declared:
        return "plain numbers, without a scale"
    return f"numbers with a scale of {scaling.scale!r} and an offset of {scaling.offset!r}"


def scaling_of(contract: Contract) -> tuple[Scaling | None, ...]:
    """Return scale and offset of each band in the files of a training; None where they are not known.

    Contracts of before they were recorded do not have them. But the smallest and the largest value of a band of
    integers are whole numbers if it had no scale, and hardly ever both whole and over 10 if it had one.
    """
    if contract.scaling or contract.homogenise or "int" not in contract.dtype:
        return contract.scaling or (None,) * len(contract.bands)
    return tuple(Scaling() if _whole(band) and band.max > _SURE else None for band in contract.statistics)


def _whole(band: BandStatistics) -> bool:
    return band.min.is_integer() and band.max.is_integer()


def order_notes(info: SceneInfo, contract: Contract) -> tuple[Note, ...]:
    """Return a note if names of bands do not say that they are those of the model, so that only their order counts."""
    pairs = zip((band.name for band in info.bands), contract.bands, strict=False)
    unsure = [
        f"{name} as {known}" for name, known in pairs if not known.isdecimal() and not can_be_compared(name, known)
    ]
    if not unsure:
        return ()
    detail = f"Bands are taken in the order of the file: {listed(tuple(unsure))}."
    hint = "Check the order, and name the bands of the scene with bands=."
    return (Note(code="bands_by_order", detail=detail, hint=hint),)


def radiometry_notes(info: SceneInfo, contract: Contract) -> tuple[Note, ...]:
    """Return notes if values blur in single precision or pixels are oblong, or values lie far outside the training's.

    They lie far outside if the mean of the sample lies beyond the lowest or the highest value of the training, or over
    5 of its standard deviations from its mean. Scenes that are homogenised are not compared, for the statistics of the
    contract are those of homogenised pixels.
    """
    own = tuple(note for note in info.warnings if note.code in ("precision_lost", "oblong_pixels"))
    if contract.homogenise or len(info.bands) != len(contract.statistics):
        return own
    far = [
        f"{band.name} has a mean of {band.statistics.mean:.6g}, in training {known.mean:.6g} +- {known.std:.6g}"
        for band, known in zip(info.bands, contract.statistics, strict=True)
        if _is_far(band.statistics.mean, known)
    ]
    if not far:
        return own
    hint = "Check that the scene is the same product in the same units. Maps of unlike scenes are often wrong."
    return (*own, Note(code="unlike_training", detail=f"Band {'; band '.join(far[:_MOST_BANDS])}.", hint=hint))


def _is_far(mean: float, known: BandStatistics) -> bool:
    return not known.min <= mean <= known.max or abs(mean - known.mean) > _FAR * known.std


def same_bands(names: tuple[str, ...], expected: tuple[str, ...]) -> bool:
    """Whether there are as many bands, and no two in the same place have names that contradict each other."""
    return len(names) == len(expected) and all(same_band(a, b) for a, b in zip(names, expected, strict=True))


def _alike(dtype: str, expected: str) -> bool:
    return dtype == expected or any({dtype, expected} <= group for group in _ALIKE)


def listed(names: tuple[str, ...]) -> str:
    """The names of the first bands in words."""
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
