"""Checks the input contract of a model that a stranger sent: with numbers that contradict each other it cannot map."""

from collections.abc import Iterator

import numpy as np

from ml.contract import BandRadiometry, BandStatistics, Contract, Homogenise
from ml.scenes.source import MOST

_DTYPES = {*("uint8", "int8", "uint16", "int16", "uint32", "int32"), *("float16", "float32", "float64")}
_QUANTILES = 101  # 0, 1, ..., 100 %
_LARGEST = float(np.finfo(np.float32).max)  # nets compute in float32
_LEAST_M, _MOST_M = 1e-4, 1e6  # sides of pixels that any image has
_ROUNDING = 1e-6  # of values in float32
_LEAST_STD = float(np.finfo(np.float32).tiny)


def contract_contradictions(contract: Contract) -> Iterator[str]:
    """Yield what no training would have written, each as a clause that ends a sentence."""
    if not _LEAST_M <= contract.gsd <= _MOST_M:
        yield f"its pixels have a side of {contract.gsd:g} m"
    if contract.dtype not in _DTYPES:
        yield f"no scene has pixels of type {contract.dtype!r}"
    yield from _counts(contract)
    for number, band in enumerate(contract.statistics, 1):
        if not _is_measured(band):
            yield f"the statistics of band {number} contradict each other"
    for number, scaling in enumerate(contract.scaling, 1):
        if not (1 / MOST <= abs(scaling.scale) <= MOST and abs(scaling.offset) <= MOST):
            yield f"the scale {scaling.scale:g} and the offset {scaling.offset:g} of band {number} are none of pixels"
    if contract.homogenise:
        yield from _radiometries(contract.homogenise)


def _counts(contract: Contract) -> Iterator[str]:
    bands = len(contract.bands)
    if len({name.strip().casefold() for name in contract.bands}) < bands:
        yield "two bands have the same name"
    if len(contract.statistics) != bands:
        yield f"it has {bands} bands, but statistics of {len(contract.statistics)}"
    if len(contract.scaling) not in (0, bands):
        yield f"it has {bands} bands, but scales of {len(contract.scaling)}"
    if contract.homogenise and len(contract.homogenise.reference) != bands:
        yield "it is homogenised by another number of bands"


def _is_measured(band: BandStatistics) -> bool:
    """Whether numbers can be the statistics of pixels, also when they are rounded to float32."""
    low, high = -_LARGEST if band.low is None else band.low, _LARGEST if band.high is None else band.high
    if band.std == 0 and band.max - band.min > _ROUNDING * max(abs(band.min), abs(band.max)):
        return False
    ordered = -_LARGEST <= band.min <= band.max <= _LARGEST and -_LARGEST <= low <= high <= _LARGEST
    return ordered and abs(band.mean) <= _LARGEST and (band.std == 0 or _LEAST_STD <= band.std <= _LARGEST)


def _radiometries(homogenise: Homogenise) -> Iterator[str]:
    for number, band in enumerate(homogenise.reference, 1):
        if not _is_distribution(band):
            yield f"the reference of band {number} is no distribution of {_QUANTILES} quantiles"


def _is_distribution(band: BandRadiometry) -> bool:
    """Whether numbers can be the distribution of pixels."""
    return (
        len(band.quantiles) == _QUANTILES
        and bool((np.diff(band.quantiles) >= 0).all())
        and min(band.mad, band.std) >= 0
    )
