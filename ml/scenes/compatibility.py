"""Checks whether a scene can be used with a model, or together with another scene."""

from collections.abc import Iterator

from ml.contract import Contract
from ml.faults import Fault
from ml.scenes.bands import same_band
from ml.scenes.inspect import SceneInfo

GSD_RATIO = 1.5  # largest ratio of two ground sampling distances that fit each other
_ALIKE = ({"float16", "float32", "float64"}, {"int16", "uint16"})


def contract_of(info: SceneInfo) -> Contract:
    """Return the contract for scenes that are used together with this one, without statistics and classes."""
    names = tuple(band.name for band in info.bands)
    return Contract(bands=names, dtype=info.dtype, gsd=info.gsd, nodata=info.nodata, statistics=())


def contract_faults(info: SceneInfo, contract: Contract, owner: str = "the model was trained on") -> tuple[Fault, ...]:
    """Return a fault for each reason why a scene does not fit an input contract.

    owner: Words that precede the contract's values in each message, like "the model was trained on".

    The codes are wrong_bands if the number of bands differs, or the names differ in a place where both sides have
    meaningful names; wrong_dtype if the types of pixels differ, where all float types are alike, and int16 and
    uint16 are alike; bad_resolution if the ground sampling distances differ by a factor of over 1.5.
    """
    return tuple(_faults(info, contract, owner))


def _faults(info: SceneInfo, contract: Contract, owner: str) -> Iterator[Fault]:
    names = tuple(band.name for band in info.bands)
    if not _same_bands(names, contract.bands):
        alpha = " beside alpha, which is a mask" if any(note.code == "alpha_is_mask" for note in info.warnings) else ""
        yield Fault(
            "wrong_bands",
            f"The scene has {len(names)} bands ({_listed(names)}){alpha};"
            f" {owner} {len(contract.bands)} ({_listed(contract.bands)}).",
            "Send the same bands in the same order, or correct the names of the bands."
            + (" If alpha is a measured band, name all bands with bands=." if alpha else ""),
        )
    if not _alike(info.dtype, contract.dtype):
        detail = f"The scene's pixels are {info.dtype}; {owner} {contract.dtype}."
        yield Fault("wrong_dtype", detail, "Send the same product, without rescaling its values.")
    if not 1 / GSD_RATIO <= info.gsd / contract.gsd <= GSD_RATIO:
        detail = f"The scene has pixels of {info.gsd:.4g} m; {owner} {contract.gsd:.4g} m."
        hint = f"Resample the scene: gdalwarp -tr {contract.gsd:.4g} {contract.gsd:.4g} in.tif out.tif (in metres)"
        yield Fault("bad_resolution", detail, hint)


def _same_bands(names: tuple[str, ...], expected: tuple[str, ...]) -> bool:
    return len(names) == len(expected) and all(same_band(a, b) for a, b in zip(names, expected, strict=True))


def _alike(dtype: str, expected: str) -> bool:
    return dtype == expected or any({dtype, expected} <= group for group in _ALIKE)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
