"""Does a scene fit the model that it is to be used with?"""

from collections.abc import Iterator

from ml.contract import Contract
from ml.faults import Fault
from ml.scenes.bands import same_band
from ml.scenes.inspect import SceneInfo

GSD_RATIO = 1.5
_ALIKE = ({"float16", "float32", "float64"}, {"int16", "uint16"})


def contract_of(info: SceneInfo) -> Contract:
    """What a scene must be to be used together with this one. Statistics, classes and homogenisation are not known."""
    names = tuple(band.name for band in info.bands)
    return Contract(bands=names, dtype=info.dtype, gsd=info.gsd, nodata=info.nodata, statistics=())


def contract_faults(info: SceneInfo, contract: Contract, owner: str = "the model was trained on") -> tuple[Fault, ...]:
    """All differences between a scene and an input contract that forbid to use them together.

    owner: begins the other half of the sentence that says what the scene has.

    wrong_bands: their number, or their names or order where both sides name them. wrong_dtype: floats are alike, and
    int16 and uint16. bad_resolution: a ground sampling distance more than 1.5 times larger or smaller.
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
            "Send the same bands in the same order, or correct the names of the scene's bands.",
        )
    if not _alike(info.dtype, contract.dtype):
        detail = f"The scene's pixels are {info.dtype}; {owner} {contract.dtype}."
        yield Fault("wrong_dtype", detail, "Send the same product, without rescaling it.")
    if not 1 / GSD_RATIO <= info.gsd / contract.gsd <= GSD_RATIO:
        detail = f"The scene has {info.gsd:.4g} m a pixel; {owner} {contract.gsd:.4g} m."
        hint = f"Resample it: gdalwarp -tr {contract.gsd:.4g} {contract.gsd:.4g} in.tif out.tif (in metres)"
        yield Fault("bad_resolution", detail, hint)


def _same_bands(names: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    return len(names) == len(wanted) and all(same_band(a, b) for a, b in zip(names, wanted, strict=True))


def _alike(dtype: str, wanted: str) -> bool:
    return dtype == wanted or any({dtype, wanted} <= group for group in _ALIKE)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
