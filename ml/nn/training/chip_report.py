"""The report of a training before its first step: balancing, chips that are left out, and unwise settings."""

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from ml.config import TrainConfig
from ml.contract import Contract
from ml.evaluation.report import LISTED, BalanceReport, TrainReport, chip_warnings, draw_warnings
from ml.geo.areas import PLANE_ERROR
from ml.nn.checkpoint import LoadedCheckpoint
from ml.nn.training.chips import ChipSampler
from ml.warm_start import warm_start_warnings

_NO_HARD = "No usable chip of the training split has a crop of hard_negatives, so these change nothing."


def chip_report(
    config: TrainConfig, contract: Contract, sampler: ChipSampler, origin: LoadedCheckpoint | None
) -> TrainReport:
    """Report what the training draws and leaves out, with warnings of what is allowed but unwise."""
    before, after, seen = (
        _by_name(contract, pixels) for pixels in (sampler.pixels(), sampler.drawn_pixels(0), sampler.seen_pixels)
    )
    dropped, kept = _by_reason(contract, sampler.dropped_pixels), _by_reason(contract, sampler.kept_pixels)
    hard = [] if sampler.has_hard or not config.hard_negatives else [_NO_HARD]
    return TrainReport(
        balance=BalanceReport(mode=config.balance, before=before, after=after),
        dropped=Counter(chip.why for chip in sampler.dropped),
        dropped_chips=sampler.dropped[:LISTED],
        dropped_pixels=dropped,
        warnings=(
            *config.warnings(),
            *(warm_start_warnings(config, contract, origin.header.contract) if origin else ()),
            *_boundary_warnings(config, contract),
            *hard,
            *chip_warnings(seen, dropped, kept),
            *draw_warnings(before, after),
        ),
    )


def _by_name(contract: Contract, pixels: NDArray[np.int64]) -> dict[str, int]:
    return {item.name: int(count) for item, count in zip(contract.classes, pixels, strict=True)}


def _by_reason(contract: Contract, pixels: Mapping[str, NDArray[np.int64]]) -> dict[str, dict[str, int]]:
    """Name the classes of the numbers of pixels, and leave out zeros."""
    named = {why: {name: n for name, n in _by_name(contract, of).items() if n} for why, of in pixels.items()}
    return {why: of for why, of in named.items() if of}


def _boundary_warnings(config: TrainConfig, contract: Contract) -> Iterator[str]:
    if config.boundary_m and config.boundary_m * (1 + PLANE_ERROR) < contract.gsd:
        pixel = f"a pixel of {contract.gsd:g} m"
        yield f"boundary_m {config.boundary_m:g} is below {pixel}: the boundary IoU is undefined."
